"""Files that people name in place of an ONNX model: what each is, and how to get an ONNX file from it.

Told from the first bytes, so a file that was renamed to `.onnx` is still what it was; from the name only where the bytes say nothing.
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from videodag_cli.errors import printable
from videodag_cli.vision.onnx.wire import WireError, fields

POINTER = b"version https://git-lfs.github.com/spec/"
_HEAD = 4096
_FROM_WEIGHTS = (
    "export it where it was trained (Ultralytics: yolo export model={name} format=onnx; else torch.onnx.export)"
)
_FROM_BUILT = (
    "it is built from a model: name the .onnx file it was built from, or export that (yolo export format=onnx)"
)
_FROM_TFLITE = "convert it with tf2onnx (python -m tf2onnx.convert --tflite {name} --output model.onnx)"
_FROM_TENSORFLOW = (
    "convert the model with tf2onnx (python -m tf2onnx.convert --help), or export it to ONNX where it was trained"
)
_FROM_ORIGINAL = "export the original model to ONNX where it was trained (Ultralytics: yolo export format=onnx)"
_LFS = "get the content with git lfs pull"
_ANEW = "download the model again"


@dataclass(frozen=True)
class Foreign:
    """What a file is, as it completes the sentence "this is ...", and what would give an ONNX file."""

    what: str
    remedy: str

    def sentence(self, name: str) -> str:
        return f"is {self.what}, not an ONNX model; {self.remedy.replace('{name}', printable(name, limit=80))}"


_STARTS: tuple[tuple[bytes, Foreign], ...] = (
    (b"\x89HDF\r\n\x1a\n", Foreign("an HDF5 file, as Keras writes them", _FROM_TENSORFLOW)),
    (b"RKNN", Foreign("an RKNN model for Rockchip", _FROM_BUILT)),
    (b"ptrt", Foreign("a TensorRT engine", _FROM_BUILT)),
    (b"ftrt", Foreign("a TensorRT engine", _FROM_BUILT)),
    (b"GGUF", Foreign("a GGUF file of weights", _FROM_ORIGINAL)),
    (b"7767517", Foreign("an ncnn graph (.param)", _FROM_ORIGINAL)),
    (b"\x1f\x8b", Foreign("a gzip archive", "unpack it and name the .onnx file in it")),
    (b"7z\xbc\xaf\x27\x1c", Foreign("a 7-Zip archive", "unpack it and name the .onnx file in it")),
    (b"\xfd7zXZ\x00", Foreign("an xz archive", "unpack it and name the .onnx file in it")),
    (b"Rar!\x1a\x07", Foreign("a RAR archive", "unpack it and name the .onnx file in it")),
    (b"\x89PNG", Foreign("a picture (PNG)", "name the .onnx file of the model")),
    (b"\xff\xd8\xff", Foreign("a picture (JPEG)", "name the .onnx file of the model")),
    (b"%PDF", Foreign("a PDF document", "name the .onnx file of the model")),
)


def foreign(content: bytes) -> Foreign | None:
    """What the bytes are where they are no ONNX model but something known; None for anything else."""
    head = content[:_HEAD]
    if not content:
        return Foreign("an empty file", f"{_ANEW}, or export it again (yolo export format=onnx)")
    if head.startswith(POINTER):
        return Foreign("a Git LFS pointer instead of the model", _LFS)
    for start, found in _STARTS:
        if head.startswith(start):
            return found
    if head[4:8] == b"TFL3":
        return Foreign("a TensorFlow Lite model (.tflite)", _FROM_TFLITE)
    if head[4:8] == b"ORTM":
        return Foreign("a model in onnxruntime's own format (.ort)", "name the .onnx file it was made from")
    if head[4:8] == b"ftyp":
        return Foreign("a video (MP4 or MOV)", "name the .onnx file of the model")
    if head[257:262] == b"ustar":
        return Foreign("a tar archive", "unpack it and name the .onnx file in it")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(content)
    if re.match(rb"\x80[\x02-\x05](?!\x00)", head) and not _is_message(content):
        return Foreign("a Python pickle, as PyTorch writes weights (.pt, .pth)", _FROM_WEIGHTS)
    if _is_json_with_length(content, 8):
        return Foreign("a safetensors file of weights", _FROM_WEIGHTS)
    if _is_json_with_length(content, 4):
        return Foreign("a TensorRT engine, as Ultralytics writes them (.engine)", _FROM_BUILT)
    return _text(head) or _message(content)


_BY_NAME: dict[str, Foreign] = {
    **dict.fromkeys((".engine", ".trt", ".plan"), Foreign("by its name a TensorRT engine", _FROM_BUILT)),
    ".bin": Foreign("by its name the weights of an OpenVINO or ncnn model", _FROM_ORIGINAL),
    ".mnn": Foreign("by its name an MNN model", _FROM_ORIGINAL),
    **dict.fromkeys(
        (".data", ".onnx_data", ".weights"),
        Foreign("by its name a file of weights", "name the .onnx file that they belong to"),
    ),
}
"""Formats whose first bytes say nothing."""


def foreign_by_name(name: str) -> Foreign | None:
    """What a file is by its name, where its bytes are neither an ONNX model nor anything known."""
    return _BY_NAME.get(Path(name).suffix.lower())


def _zipped(content: bytes) -> Foreign:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()[:10_000]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return Foreign("a zip archive that is cut off or damaged (PyTorch's .pt files are such archives)", _ANEW)
    if any(re.fullmatch(r"(?:[^/]+/)?data\.pkl", name) for name in names):
        if any(re.match(r"[^/]+/code/", name) for name in names):
            return Foreign("a TorchScript model (.torchscript, .pt)", _FROM_WEIGHTS)
        return Foreign("a PyTorch file of weights (.pt, .pth)", _FROM_WEIGHTS)
    if any(name.endswith((".mlmodel", ".mlpackage/Manifest.json")) for name in names):
        return Foreign("a Core ML package in a zip archive", _FROM_ORIGINAL)
    if {"config.json", "metadata.json"} <= set(names) and any(name.endswith(".h5") for name in names):
        return Foreign("a Keras model (.keras)", _FROM_TENSORFLOW)
    inside = next((name for name in names if name.lower().endswith(".onnx")), None)
    where = f"; it holds {printable(inside, limit=80)}" if inside else ""
    return Foreign("a zip archive", f"unpack it and name the .onnx file in it{where}")


def _is_json_with_length(content: bytes, width: int) -> bool:
    """Whether it begins with the length of a JSON object, little-endian, and the object."""
    length = int.from_bytes(content[:width], "little")
    return 2 <= length <= len(content) - width and re.match(rb"\{\s*[\"}]", content[width : width + 16]) is not None


def _text(head: bytes) -> Foreign | None:
    """Text of any kind; None where it is none."""
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    lower = begin[:512].lower()
    if lower.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return Foreign("a web page (HTML), as left by a download that was refused or needs a login", _ANEW)
    if lower.startswith(b"<net") or (lower.startswith(b"<?xml") and b"<net" in lower):
        return Foreign("an OpenVINO model (.xml)", _FROM_ORIGINAL)
    if lower.startswith(b"[net]"):
        return Foreign("a Darknet configuration (.cfg)", _FROM_ORIGINAL)
    if begin.startswith(b"/annex/objects/") or b"/annex/objects/" in begin[:300]:
        return Foreign("a git-annex pointer instead of the model", "get the content with git annex get")
    cut = head[:-4] if len(head) == _HEAD else head  # a character may be cut in two there
    try:
        text = cut.decode("utf-8", "strict" if cut is head else "ignore")
    except UnicodeDecodeError:
        return None
    if any(ord(character) < 32 and character not in "\t\r\n\f" for character in text):
        return None
    if begin.startswith(b"<"):
        return Foreign("a page of XML, as left by a refused download", _ANEW)
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return Foreign(f"text ({printable(line, limit=40)!r})", "name the .onnx file of the model")


def _is_message(content: bytes) -> bool:
    try:
        for _ in fields(memoryview(content)):
            pass
    except WireError:
        return False
    return True


def _message(content: bytes) -> Foreign | None:
    """Models that are protocol buffers too; field numbers of Core ML's Model, TensorFlow's SavedModel and Caffe's NetParameter."""
    seen: dict[int, int | memoryview] = {}
    try:
        for number, value in fields(memoryview(content)):
            seen.setdefault(number, value)
    except WireError:
        return _cut_off(content, seen)
    if isinstance(seen.get(1), int) and isinstance(seen.get(2), memoryview) and any(200 <= n <= 3000 for n in seen):
        return Foreign("a Core ML model (.mlmodel)", _FROM_ORIGINAL)
    if seen.keys() == {1, 2} and seen[1] == 1 and isinstance(seen[2], memoryview):
        return Foreign("a TensorFlow SavedModel (saved_model.pb)", _FROM_TENSORFLOW)
    if seen.keys() <= {1, 2, 3, 4} and _is_tensorflow_node(seen.get(1)):
        return Foreign("a frozen TensorFlow graph (.pb)", _FROM_TENSORFLOW)
    if isinstance(seen.get(1), memoryview) and 100 in seen:
        return Foreign("a Caffe model (.caffemodel)", _FROM_ORIGINAL)
    return None


def _is_tensorflow_node(value: int | memoryview | None) -> bool:
    """Whether it is a node of a graph: a name, and an operation with a capital letter."""
    if not isinstance(value, memoryview):
        return False
    try:
        node = dict(fields(value))
    except WireError:
        return False
    operation = node.get(2)
    return (
        isinstance(node.get(1), memoryview) and isinstance(operation, memoryview) and operation[:1].tobytes().isupper()
    )


def _cut_off(content: bytes, seen: dict[int, int | memoryview]) -> Foreign | None:
    """An ONNX file whose end is missing: it begins with its version and says who made it."""
    begins = isinstance(seen.get(1), int) and content[:1] == b"\x08"
    if begins and (isinstance(seen.get(2), memoryview) or len(seen) == 1):
        return Foreign("an incomplete ONNX file, whose end is missing", f"{_ANEW}, or copy it again")
    return None


def folder_words(path: Path) -> str:
    """What a folder is that some exporters write in place of a file."""
    kinds = {
        "saved_model.pb": "a TensorFlow SavedModel",
        "Manifest.json": "a Core ML package (.mlpackage)",
        "model.ncnn.param": "an ncnn model",
        "__model__": "a PaddlePaddle model",
    }
    kind = next((kind for name, kind in kinds.items() if (path / name).exists()), None)
    if kind is None and any(path.glob("*.xml")) and any(path.glob("*.bin")):
        kind = "an OpenVINO model"
    inside = next((found.name for found in sorted(path.glob("*.onnx"))), None)
    hint = (
        f"name {printable(path / inside)}"
        if inside
        else "export the model to ONNX (Ultralytics: yolo export format=onnx)"
    )
    return f"is not a regular file but a folder{'' if kind is None else f' with {kind}'}; {hint}"
