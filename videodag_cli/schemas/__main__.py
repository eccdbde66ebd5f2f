"""Write the schemas that are made from code into this folder."""

from __future__ import annotations

from pathlib import Path

import orjson

from videodag_cli.schemas import NAMES, file_name, from_code

for name in NAMES:
    schema = from_code(name)
    if schema is not None:
        text = orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        (Path(__file__).parent / file_name(name)).write_bytes(text)
