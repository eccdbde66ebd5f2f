"""Files of class names: one per line, JSON, COCO annotations, or the `data.yaml` a model was trained with.

Names are what is written: in YAML, `no` and `1` are names and not false and a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videodag_cli.errors import ParamError, printable
from videodag_cli.vision.onnx.foreign import POINTER

MAX_LABELS = 100_000
_MAX_BYTES, _MAX_JSON = 4_000_000, 64_000_000
_MAX_YAML = 1_000_000
_FORMS = "one name per line, a JSON list, a data.yaml with names, or COCO categories"
_KEYS = ("names", "id2label", "categories", "labels", "classes", "class_names")


class _UnfitError(ValueError):
    """Why a file's content gives no names, as it completes the sentence "labels FILE ..."."""


def read_labels(source: Path | Sequence[str]) -> tuple[str, ...]:
    """Class names from a list or a file, by class number. Raises `ParamError` that says what the file is and what would be right."""
    if not isinstance(source, Path):
        return _checked(list(source), "labels")
    shown = printable(source)
    text = _text_of(source, shown)
    try:
        names = _names_in(text, source.suffix.lower())
    except _UnfitError as error:
        raise ParamError(f"labels {shown} {error}", word="param.file") from error
    return _checked(names, f"labels {shown}")


def _text_of(source: Path, shown: str) -> str:
    try:
        if not source.is_file():
            raise ParamError(f"labels {shown} is not a file", word="param.file")
        limit = _MAX_JSON if source.suffix.lower() == ".json" else _MAX_BYTES
        if source.stat().st_size > limit:
            raise ParamError(
                f"labels {shown} is larger than {limit // 1_000_000} MB; name a file with {_FORMS}", word="param.file"
            )
        content = source.read_bytes()
    except OSError as error:
        raise ParamError(f"labels {shown} cannot be read: {printable(error.strerror)}", word="param.file") from error
    if content.startswith(POINTER):
        raise ParamError(
            f"labels {shown} is a Git LFS pointer instead of the file; get the content with git lfs pull",
            word="param.file",
        )
    try:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # as Notepad saves "Unicode"
            return content.decode("utf-16")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParamError(
            f"labels {shown} cannot be read as text: it is not UTF-8; name a file with {_FORMS}", word="param.file"
        ) from error
    if "\x00" in text:
        raise ParamError(f"labels {shown} cannot be read as text; name a file with {_FORMS}", word="param.file")
    return text


def _names_in(text: str, suffix: str) -> list[str]:
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return _of_json(json.loads(text, object_pairs_hook=_once))
        except (json.JSONDecodeError, RecursionError):
            if suffix not in (".yaml", ".yml"):
                raise _UnfitError(f"is not valid JSON; name a file with {_FORMS}") from None
    if suffix in (".yaml", ".yml") or re.search(r"^names[ \t]*:", text, re.MULTILINE):
        return _of_yaml(text)
    if text.lstrip()[:1] == "<":
        raise _UnfitError(f"is XML or a web page; name a file with {_FORMS}")
    if re.search(r"^\s*names\s*=", text, re.MULTILINE):
        raise _UnfitError("is a Darknet .data file; name the file that its line `names` names")
    if re.search(r"^\s*item\s*\{", text):
        raise _UnfitError(f"is a TensorFlow label map (item {{ ... }}); name a file with {_FORMS}")
    return _of_lines(text)


def _of_lines(text: str) -> list[str]:
    names = [
        line.strip() for line in text.split("\n")
    ]  # carriage returns are white space; other breaks belong to no list
    while names and not names[-1]:
        names.pop()
    if len(names) == 1 and "," in names[0]:
        names = [name.strip() for name in names[0].split(",")]
    numbered = [re.fullmatch(r"([0-9]+)\s*[:,;\t ]\s*(\S.*)", name) for name in names]
    if len(names) > 1 and all(match and int(match[1]) == i for i, match in enumerate(numbered)):
        return [match[2] for match in numbered if match]
    return names


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which every key is there once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _UnfitError(f"has the key {printable(twice, limit=60)!r} twice")
    return found


def _of_json(value: Any) -> list[str]:
    if isinstance(value, dict):
        for key in _KEYS:
            if isinstance(value.get(key), list | dict):
                return _of_json(value[key])
        if value and all(isinstance(number, int) and not isinstance(number, bool) for number in value.values()):
            return _by_number({number: name for name, number in value.items()}, len(value))
        return _by_number(value, len(value))
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return list(value)
    if isinstance(value, list) and value and all(isinstance(entry, dict) and "name" in entry for entry in value):
        return _of_categories(value)
    raise _UnfitError("is not a JSON list of names, nor an object 0, 1, ...")


def _of_categories(entries: list[dict[str, Any]]) -> list[str]:
    """COCO's categories: numbered from 0 or from 1, they are classes 0, 1, ... in that order."""
    numbers = [entry.get("id") for entry in entries]
    if all(number is None for number in numbers):
        return [_name(entry["name"]) for entry in entries]
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise _UnfitError("has a category whose id is not a whole number")
    named = {int(entry["id"]): _name(entry["name"]) for entry in entries}
    if len(named) < len(entries):
        raise _UnfitError("gives two categories the same id")
    low, high = min(named), max(named)
    if high - low + 1 != len(named) or low not in (0, 1):
        raise _UnfitError(
            f"has categories {low} to {high} with gaps, which does not say what the model's class numbers mean: write one name per "
            "line in the order of the classes (for COCO's own: labels=coco for 80 classes, coco91 for category numbers)"
        )
    return [named[number] for number in sorted(named)]


def _by_number(names: dict[Any, Any], count: int) -> list[str]:
    """Class number -> name, all numbers from 0 without a gap."""
    try:
        numbered = {int(number): name for number, name in names.items()}
    except (TypeError, ValueError):
        raise _UnfitError("is not a JSON list of names, nor an object 0, 1, ...") from None
    if not numbered:
        raise _UnfitError("holds no names")
    missing = next((i for i in range(len(numbered)) if i not in numbered), None)
    if missing is not None or len(numbered) < count:
        raise _UnfitError(
            f"has {count} names, but none for class {missing}: class numbers go from 0 to {count - 1} without a gap"
            if missing is not None
            else "gives two names to one class number"
        )
    return [_name(numbered[i]) for i in range(len(numbered))]


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise _UnfitError(f"has the name {printable(json.dumps(value), limit=60)}, which is not text")
    return value


def _of_yaml(text: str) -> list[str]:
    """`names` of a YAML file, as a list or as class numbers with names; the text is parsed but nothing in it is built."""
    import yaml

    if len(text) > _MAX_YAML:
        raise _UnfitError("is a YAML file larger than 1 MB; write one name per line")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        reason = getattr(error, "problem", None) or "it cannot be parsed"
        raise _UnfitError(f"is not valid YAML: {printable(reason, limit=120)}{where}") from error
    except RecursionError:
        raise _UnfitError("is YAML that is nested too deeply") from None
    if isinstance(root, yaml.SequenceNode):
        return [_scalar(entry) for entry in root.value]
    entries = _entries(root) if isinstance(root, yaml.MappingNode) else {}
    names = next((entries[key] for key in _KEYS if key in entries), None)
    if isinstance(names, yaml.SequenceNode):
        return [_scalar(entry) for entry in names.value]
    if isinstance(names, yaml.MappingNode):
        return _by_number({key: _scalar(value) for key, value in _entries(names).items()}, len(names.value))
    raise _UnfitError("has no `names`, as a list or as class numbers with names")


def _entries(mapping: Any) -> dict[str, Any]:
    return _once([(_scalar(key), value) for key, value in mapping.value])


def _scalar(node: Any) -> str:
    if not isinstance(node.value, str):
        raise _UnfitError(f"has a name in line {node.start_mark.line + 1} that is not text")
    return node.value


def _checked(names: list[str], where: str) -> tuple[str, ...]:
    names = [name.strip() for name in names]
    if not names or not all(names):
        raise ParamError(f"{where}: there is an empty name; give one name per class", word="param.file")
    if len(names) > MAX_LABELS:
        raise ParamError(f"{where}: more than {MAX_LABELS} names", word="param.file")
    return tuple(printable(name, limit=200) for name in names)
