"""Write the schemas that are made from code into this folder."""

from __future__ import annotations

from pathlib import Path

from videodag_cli.schemas import NAMES, file_name, from_code
from videodag_cli.system.documents import document

for name in NAMES:
    schema = from_code(name)
    if schema is not None:
        text = document(schema)
        (Path(__file__).parent / file_name(name)).write_bytes(text)
