"""Model files that are no detectors, or no models, are refused with words that say what was found and what is expected."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto

from tests.onnx_models import constant_model
from videodag_cli.errors import ParamError
from videodag_cli.tools.detect import Objects
from videodag_cli.vision.onnx.builtin import model_path
from videodag_cli.vision.onnx.labels import labels_in
from videodag_cli.vision.onnx.wire import WireError, external_files

ONE_NAME = {"names": "{0: 'person'}"}


def zeros(*shape: int) -> NDArray[Any]:
    return np.zeros(shape, np.float32)


def pose_values() -> NDArray[Any]:
    out = zeros(1, 56, 84)
    out[0, 5:] = 40.0
    return out


CASES: dict[str, tuple[Mapping[str, NDArray[Any]], dict[str, Any], str]] = {
    "segmentation by task": (
        {"output0": zeros(1, 37, 84)},
        {"metadata": ONE_NAME | {"task": "segment"}},
        "no output of four dimensions goes with its boxes",
    ),
    "segmentation by shape": (
        {"output0": zeros(1, 30, 84), "output1": zeros(1, 32, 16, 16)},
        {},
        "looks like instance segmentation; found outputs output0 1x30x84, output1 1x32x16x16",
    ),
    "depth": (
        {"output0": zeros(1, 7, 84)},
        {"metadata": {"task": "depth"}},
        "is made for depth estimation .*expected a detector's",
    ),
    "pose by task": (
        {"output0": zeros(1, 56, 84)},
        {"metadata": {"task": "pose"}},
        "says how many key points its 56 numbers hold; set param points",
    ),
    "pose by values": (
        {"output0": pose_values()},
        {"metadata": ONE_NAME},
        "looks like pose estimation: 51 columns more than its 1 classes need.*set param task=pose",
    ),
    "pose without names": ({"output0": pose_values()}, {}, "numbers outside 0..1 where class scores should be"),
    "oriented boxes": (
        {"output0": zeros(1, 6, 84), "more": zeros(1, 6, 84)},
        {"metadata": {"task": "obb"}},
        "it has no single table of boxes",
    ),
    "classification": ({"output0": zeros(1, 1000)}, {}, "looks like classification; found outputs output0 1x1000"),
    "text recognition": (
        {"output0": np.full((1, 80, 200), 1 / 200, np.float32)},
        {},
        "looks like text recognition: every row adds up to one",
    ),
    "heat map": ({"heat": zeros(1, 21, 64, 64)}, {}, "looks like semantic segmentation or a heat map"),
    "YOLOv7 without --grid": (
        {str(side): zeros(1, 3, side, side, 6) for side in (8, 4, 2)},
        {},
        r"outputs maps for strides 8, 16, 32, of which no boxes were made yet; export YOLOv7 with --grid",
    ),
    "maps of YOLOv8 for a converter": (
        {
            f"{kind}{side}": zeros(1, count, side, side)
            for side in (8, 4, 2)
            for kind, count in (("box", 64), ("cls", 1))
        },
        {"metadata": ONE_NAME},
        "outputs maps for strides 8, 16, 32, of which no boxes were made yet; export the model with the part that makes boxes",
    ),
    "YOLOv9 with its auxiliary head": (
        {"output0": zeros(1, 5, 84), "output1": zeros(1, 5, 84)},
        {"metadata": ONE_NAME},
        "outputs 2 tables of one shape with all cells, as networks with auxiliary heads do.*YOLOv9: what its reparameterization",
    ),
    "maps with channels last": (
        {str(side): zeros(1, side, side, 18) for side in (4, 2)},
        {},
        "outputs maps for strides 16, 32",
    ),
    "nothing known": ({"a": zeros(1, 3, 7, 2, 2)}, {}, "has outputs that no known detector has"),
    "grey pictures": ({"output0": zeros(1, 7, 84)}, {"shape": (1, 1, 64, 64)}, "does not take a colour picture"),
    "no picture": ({"output0": zeros(1, 7, 84)}, {"shape": (1, 100)}, "found images 1x100 float32"),
    "batch of eight": ({"output0": zeros(8, 7, 84)}, {"shape": (8, 3, 64, 64)}, "takes exactly 8 pictures at once"),
    "unknown input": (
        {"output0": zeros(1, 7, 84)},
        {"more_inputs": {"prompt": (TensorProto.INT64, (1, 5))}},
        "an input that no known detector has: prompt 1x5 int64",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_detector_is_refused(case: str, tmp_path: Path) -> None:
    outputs, options, message = CASES[case]
    path = constant_model(tmp_path / "model.onnx", outputs, **options)
    with pytest.raises(ParamError, match=message) as caught:
        Objects(model=path)
    assert caught.value.word == "param.file"
    assert "\n" not in caught.value.message


def test_missing_folder_text_and_empty_files_are_refused(tmp_path: Path) -> None:
    text, empty = tmp_path / "model.onnx", tmp_path / "empty.onnx"
    text.write_text("not a model\n")
    empty.write_bytes(b"")
    for path, message in (
        (tmp_path / "none.onnx", "No such file"),
        (tmp_path, "not a regular file"),
        (text, r"is text \('not a model'\), not an ONNX model"),
        (empty, "is an empty file, not an ONNX model"),
    ):
        with pytest.raises(ParamError, match=message) as caught:
            Objects(model=path)
        assert caught.value.word == "param.file"


@pytest.mark.slow
def test_a_cut_off_model_is_refused_without_a_word_from_onnxruntime(tmp_path: Path) -> None:
    whole = model_path("blazeface_short_range_128.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[:100_000])
    (tmp_path / "bad.onnx").write_bytes(whole.replace(b"Conv", b"Kohl"))
    code = "import sys; from pathlib import Path; from videodag_cli.tools.detect import Objects; Objects(model=Path(sys.argv[1]))"
    for name, words in (
        ("cut.onnx", "is an incomplete ONNX file, whose end is missing"),
        ("bad.onnx", "cannot be opened by onnxruntime"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)], capture_output=True, text=True, check=False
        )
        assert done.stderr.startswith("Traceback")
        assert "ParamError" in done.stderr
        assert words in done.stderr.splitlines()[-1]
        assert "[E:onnxruntime" not in done.stderr
        assert done.stdout == ""


def test_weights_in_another_file_are_refused_before_it_is_opened(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "inside.onnx", {"output0": np.ones((1, 7, 84), np.float32)})
    model = onnx.load(str(path))
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(
        ParamError, match=r"keeps its weights in another file \(weights.bin\), and .*onnx.load\('m.onnx'\)"
    ):
        Objects(model=tmp_path / "m.onnx")
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ParamError, match=r"\(weights.bin\), which is not beside it; put it there"):
        Objects(model=tmp_path / "m.onnx")
    assert external_files(path.read_bytes()) == []


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["detect.Objects", "detect.FaceFinder", "text.Read"])
def test_no_tool_leaves_anything_in_the_users_home(tool: str, tmp_path: Path) -> None:
    """onnxruntime's telemetry would keep its data base there."""
    if tool == "text.Read":
        pytest.importorskip("rapidocr")
    module, name = tool.split(".")
    unset = (
        "CI",
        "ORT_DISABLE_TELEMETRY",
        "ORT_RUNNING_UNIT_TESTS",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
    )
    environment = {key: value for key, value in os.environ.items() if key not in unset} | {"HOME": str(tmp_path)}
    code = f"from videodag_cli.tools.{module} import {name}; {name}()"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []


@given(st.binary(max_size=300))
def test_any_bytes_are_either_read_or_called_no_model(content: bytes) -> None:
    with contextlib.suppress(WireError):
        external_files(content)


@given(st.text(max_size=80))
def test_any_metadata_gives_names_or_none(text: str) -> None:
    names = labels_in({"names": text})
    assert names is None or all(isinstance(name, str) for name in names)
