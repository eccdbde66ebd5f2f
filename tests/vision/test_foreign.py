"""What people name in place of an ONNX model is called what it is, with the way to an ONNX file: one line, exit 2."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.commands import command, quick
from tests.onnx_models import constant_model
from videodag_cli.errors import ParamError
from videodag_cli.vision.onnx.builtin import model_path
from videodag_cli.vision.onnx.foreign import foreign
from videodag_cli.vision.onnx.session import read_model

CLIP = Path(__file__).parents[2] / "sample_videos" / "synthetic.mp4"


def zipped(entries: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def field(number: int, content: bytes | int) -> bytes:
    """A field of a protocol buffer."""

    def varint(value: int) -> bytes:
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


WEIGHTS = {"best/data.pkl": b"\x80\x02}q\x00.", "best/version": b"3\n", "best/data/0": bytes(64)}
HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
ENGINE = json.dumps({"stride": 32, "names": {"0": "person"}}).encode()
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"
CASES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "an empty file"),
    "git lfs": (LFS, "a Git LFS pointer.*git lfs pull"),
    "pt": (zipped(WEIGHTS), r"a PyTorch file of weights.*yolo export model=best.pt format=onnx"),
    "torchscript": (zipped(WEIGHTS | {"best/code/__torch__.py": b""}), "a TorchScript model.*yolo export"),
    "old pth": (pickle.dumps({"model": [1.0]}, protocol=2), r"a Python pickle, as PyTorch writes weights.*yolo export"),
    "safetensors": (struct.pack("<Q", len(HEADER)) + HEADER + bytes(4), "a safetensors file of weights"),
    "engine": (b"ptrt" + bytes(60), "a TensorRT engine.*format=onnx"),
    "ultralytics engine": (struct.pack("<i", len(ENGINE)) + ENGINE + bytes(50), "a TensorRT engine.*format=onnx"),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(50), "a TensorFlow Lite model.*tf2onnx.convert --tflite best.pt"),
    "ort": (b"\x1c\x00\x00\x00ORTM" + bytes(50), "a model in onnxruntime's own format"),
    "mlmodel": (field(1, 4) + field(2, b"\x0a\x00") + field(500, b"\x08\x01"), "a Core ML model.*format=onnx"),
    "savedmodel": (field(1, 1) + field(2, b"\x0a\x00"), "a TensorFlow SavedModel.*tf2onnx"),
    "frozen graph": (
        field(1, field(1, b"x") + field(2, b"Const")) + field(2, b""),
        "a frozen TensorFlow graph.*tf2onnx",
    ),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file.*tf2onnx"),
    "html": (b"\n<!DOCTYPE html>\n<html><title>Sign in</title></html>", "a web page.*download the model again"),
    "xml error": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a page of XML"),
    "json error": (b'{"error": "Invalid username or password."}', r"text \('{\"error\""),
    "openvino": (b'<?xml version="1.0"?>\n<net name="m" version="11"></net>', "an OpenVINO model"),
    "darknet": (b"[net]\nbatch=1\n", "a Darknet configuration"),
    "zip": (zipped({"folder/yolo.onnx": b"x"}), "a zip archive.*it holds folder/yolo.onnx"),
    "cut zip": (zipped(WEIGHTS)[:80], "a zip archive that is cut off"),
    "gzip": (gzip.compress(b"x"), "a gzip archive"),
    "tar": (tarred("m.onnx", b"x"), "a tar archive"),
    "picture": (cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes(), r"a picture \(PNG\)"),
    "video": (CLIP.read_bytes()[:5000], r"a video \(MP4 or MOV\)"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_no_model_is_called_what_it_is(case: str, tmp_path: Path) -> None:
    content, message = CASES[case]
    path = tmp_path / "best.pt"
    path.write_bytes(content)
    with pytest.raises(ParamError, match=f"model {path} is {message}") as caught:
        read_model(path)
    assert caught.value.word == "param.file"
    assert "\n" not in caught.value.message


def test_models_are_not_called_anything_else(tmp_path: Path) -> None:
    built = constant_model(tmp_path / "m.onnx", {"output0": np.ones((1, 7, 84), np.float32)})
    for path in (built, model_path("blazeface_short_range_128.onnx"), model_path("nanodet_g_416_fp16.onnx")):
        assert foreign(path.read_bytes()) is None


@pytest.mark.parametrize(
    ("inside", "kind"), [("saved_model.pb", "SavedModel"), ("Manifest.json", "Core ML"), ("m.xml", "OpenVINO")]
)
def test_a_folder_that_an_exporter_wrote_is_called_what_it_holds(inside: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / inside).write_bytes(b"x")
    (tmp_path / "m.bin").write_bytes(b"x")
    with pytest.raises(ParamError, match=f"not a regular file but a folder with an? .*{kind}.*yolo export format=onnx"):
        read_model(tmp_path)


@pytest.mark.slow
def test_a_folder_in_place_of_a_model_is_one_line_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "best.onnx").write_bytes(b"x")
    for arguments in (
        ("run", "--dry-run", "-p", "builtin:objects", CLIP),
        ("pipelines", "validate", "builtin:objects"),
    ):
        done = quick(command(*arguments, "--set", f"detect.model={tmp_path}"))
        assert (done.code, done.out) == (2, b"")
        assert f"is not a regular file but a folder; name {tmp_path / 'best.onnx'}" in done.err
        assert "Is a directory" not in done.err
    done = quick(command("run", "-p", "builtin:objects", "--set", f"detect.labels={tmp_path}", CLIP))
    assert f"param 'labels': {tmp_path} is a folder; name a file" in done.error


@pytest.mark.slow
def test_weights_in_place_of_a_model_are_one_line_and_exit_2(tmp_path: Path) -> None:
    path = tmp_path / "yolov8n.pt"
    path.write_bytes(zipped(WEIGHTS))
    done = quick(command("run", "-p", "builtin:objects", "--set", f"detect.model={path}", CLIP))
    assert (done.code, done.out, len(done.err.splitlines())) == (2, b"", 1)
    assert "yolo export model=yolov8n.pt format=onnx" in done.error


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("best.bin", "by its name the weights of an OpenVINO or ncnn model"),
        ("best.PLAN", "by its name a TensorRT engine"),
        ("best.onnx.data", "by its name a file of weights, not an ONNX model; name the .onnx file that they belong to"),
        ("best.mnn", "by its name an MNN model"),
        ("best.onnx", "is not an ONNX file: "),
        ("best", "is not an ONNX file: "),
    ],
)
def test_a_name_says_what_bytes_do_not(name: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(0).standard_normal(5000).astype(np.float32).tobytes())
    with pytest.raises(ParamError, match=what) as caught:
        read_model(path)
    assert caught.value.word == "param.file"


def test_a_model_is_one_whatever_it_is_called(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "model.bin", {"output0": np.zeros((1, 6, 84), np.float32)})
    assert read_model(path)[0] == path.read_bytes()
    engine = tmp_path / "model.onnx"
    engine.write_bytes(b"ftrt" + bytes(200))
    with pytest.raises(ParamError, match="is a TensorRT engine, not an ONNX model"):
        read_model(engine)
