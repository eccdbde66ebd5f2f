"""What holds for every built-in tool, whichever it is."""

from __future__ import annotations

import typing
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import orjson
import pytest

from tests.commands import python
from tests.sampled import SAMPLES, frames_of
from tests.shared import made_once, shared_folder
from tests.tools.test_vectors import means
from videodag_cli import Codes, Detections, Faces, Frame, TextLines, Tracks, VideoInfo
from videodag_cli.graph.plugins import Plugin, Registry
from videodag_cli.lines import plain
from videodag_cli.tools.motion import Foreground
from videodag_cli.tools.quality import Black, Freeze
from videodag_cli.toolspec import ToolSpec, runtime_type
from videodag_cli.vision.embeddings import Embeddings


def three_numbers() -> str:
    """A model whose numbers are the means of a picture's colours."""
    return str(made_once(shared_folder() / "three.onnx", lambda path: means(path) and None))


def known_vectors() -> str:
    return str(made_once(shared_folder() / "known.json", lambda path: path.write_text('{"a": [1, 0, 0]}') and None))


REGISTRY = Registry()
PLUGINS, PROBLEMS = REGISTRY.all()
BUILT_IN = [plugin for plugin in PLUGINS if plugin.distribution == "videodag"]
TOOLS = [
    pytest.param(plugin, spec, id=f"{plugin.id}.{spec.id}") for plugin in BUILT_IN for spec in plugin.tools.values()
]
ZONES = [{"name": "middle", "polygon": [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]}]
VECTORS = {"model": three_numbers(), "values": "unit"}
PARAMS: dict[str, dict[str, Any]] = {
    "classify.image": VECTORS | {"activation": "softmax"},
    "embed.image": VECTORS,
    "match.embeddings": {"reference": known_vectors()},
    "image.resize": {"max_side": 64},
    "image.crop": {"region": [0, 0, 0.9, 0.9], "units": "fraction"},
    "image.mask": {"zones": ZONES, "units": "fraction"},
    "zones.count": {"zones": ZONES, "units": "fraction"},
    "zones.dwell": {"zones": ZONES, "units": "fraction"},
    "zones.line": {"lines": [{"name": "gate", "start": [0.3, 0], "end": [0.3, 1]}], "units": "fraction"},
    **{f"compare.{name}": {"reference": str(SAMPLES / "synthetic.mp4")} for name in ("psnr", "ssim", "alignment")},
}
"""Params of tools that cannot do without."""

BOXES: dict[str, Any] = {
    "xyxy": np.array([[100.0, 100, 140, 160], [300, 50, 360, 120]]),
    "confidence": np.array([0.9, 0.8]),
    "class_id": np.array([0, 2]),
    "class_name": ("person", "car"),
}
ONE_BOX = np.array([[100.0, 100, 140, 160]])
VALUES: dict[Any, Any] = {
    Detections: Detections(**BOXES),
    Tracks: Tracks(**BOXES, tracker_id=np.array([1, 2])),
    Faces: Detections(ONE_BOX),
    Codes: Codes(ONE_BOX, data={"text": ("A",), "format": ("QRCode",)}),
    TextLines: TextLines(ONE_BOX, data={"text": ("A",)}),
    Foreground: Foreground(np.eye(40, dtype=np.uint8) * 255),
    Embeddings: Embeddings(np.array([[1.0, 2, 3], [0, 0, 1]]), (0, 1)),
    Black: Black(black=False, dark_share=0.1),
    Freeze: Freeze(frozen=False, difference=1.5),
}
"""One value for each type that built-in tools take; numbers stand for themselves."""


def value_for(kind: Any, frame: Frame) -> Any:
    if kind is Frame:
        return frame
    if runtime_type(kind) in (int, float):
        return runtime_type(kind)(3)
    assert kind in VALUES, f"add a value of {kind} to VALUES"
    return VALUES[kind]


class Running:
    """A tool with sample inputs, called as the engine calls it."""

    def __init__(self, plugin: Plugin, spec: ToolSpec, size: tuple[int, int]) -> None:
        REGISTRY.require(plugin.id, spec)
        self.spec = spec
        params = spec.check_params(PARAMS.get(f"{plugin.id}.{spec.id}", {}))
        video = (VideoInfo(*size, Fraction(25), 120, 120, 4.8),) if spec.signature.wants_video else ()
        self.target: Any = spec.target(*video, **params) if spec.is_class else None
        self.params = {} if spec.is_class else params

    def __call__(self, frame: Frame) -> Any:
        inputs = [value_for(given.types[0], frame) for given in self.spec.signature.inputs]
        cv2.setRNGSeed(1)
        call = self.target or self.spec.target
        if self.spec.batch_size > 1:
            (result,) = call(*([value] for value in inputs), **self.params)
            return result
        return call(*inputs, **self.params)

    def json(self, frame: Frame) -> bytes:
        """What the tool says of a frame, as it would be written; pictures by their pixels."""
        result = self(frame)
        results = result if len(self.spec.signature.outputs) > 1 else (result,)
        forms = [value.image.tolist() if isinstance(value, Frame) else plain(value) for value in results]
        return orjson.dumps(forms)


def running(plugin: Plugin, spec: ToolSpec, size: tuple[int, int] = (640, 360)) -> Running:
    try:
        return Running(plugin, spec, size)
    except Exception as error:
        if type(error).__name__ == "MissingExtraError":
            pytest.skip(str(error))
        raise


def test_every_built_in_plugin_loads() -> None:
    assert [problem.message for problem in PROBLEMS if "videodag " in problem.message] == []
    assert {"quality", "motion", "scene", "codes", "image"} <= {plugin.id for plugin in BUILT_IN}


@pytest.mark.parametrize(("plugin", "spec"), TOOLS)
def test_a_tool_says_what_it_does(plugin: Plugin, spec: ToolSpec) -> None:
    summary = spec.doc.partition("\n\n")[0]
    assert len(summary) >= 20
    assert spec.version >= 1
    assert spec.signature.outputs


@pytest.mark.parametrize(("plugin", "spec"), TOOLS)
def test_every_param_is_described_and_has_a_default_unless_nothing_would_make_sense(
    plugin: Plugin, spec: ToolSpec
) -> None:
    schema = spec.params_model.model_json_schema()
    undescribed = [name for name, facts in schema.get("properties", {}).items() if not facts.get("description")]
    assert undescribed == []
    needed = set(PARAMS.get(f"{plugin.id}.{spec.id}", {}))
    assert set(schema.get("required", ())) <= needed


@pytest.mark.slow
@pytest.mark.parametrize(("plugin", "spec"), TOOLS)
def test_a_tool_says_the_same_of_the_same_frames_and_leaves_them_alone(plugin: Plugin, spec: ToolSpec) -> None:
    first, second = running(plugin, spec), running(plugin, spec)
    frames, copies = frames_of("synthetic.mp4", stride=50), frames_of("synthetic.mp4", stride=50)
    before = [frame.image.copy() for frame in frames]
    assert [first.json(frame) for frame in frames] == [second.json(frame) for frame in copies]
    assert all(np.array_equal(frame.image, image) for frame, image in zip(frames, before, strict=True))


@pytest.mark.parametrize(("plugin", "spec"), TOOLS)
def test_a_tool_returns_what_its_annotation_promises(plugin: Plugin, spec: ToolSpec) -> None:
    result = running(plugin, spec)(frames_of("synthetic.mp4", stride=119)[0])
    outputs = spec.signature.outputs
    for value, kind in zip(result if len(outputs) > 1 else (result,), outputs, strict=True):
        assert isinstance(value, runtime_type(kind))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (200, 7)])
@pytest.mark.parametrize(
    ("plugin", "spec"), [t for t in TOOLS if typing.cast(Plugin, t.values[0]).id != "compare"]
)  # those need a second video of the same size
def test_a_tool_takes_pictures_of_any_size(plugin: Plugin, spec: ToolSpec, size: tuple[int, int]) -> None:
    tool = running(plugin, spec, size)
    width, height = size
    for i in range(2):
        image = np.full((height, width, 3), 40 * i, np.uint8)
        tool.json(Frame.from_image(image, index=i, time_s=i / 25))


@pytest.mark.parametrize(("plugin", "spec"), [t for t in TOOLS if typing.cast(ToolSpec, t.values[1]).has_checkpoint])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_tool_with_state_continues_where_it_was(plugin: Plugin, spec: ToolSpec, at: int) -> None:
    undisturbed, first, second = (running(plugin, spec) for _ in range(3))
    frames = frames_of("synthetic.mp4", stride=30)
    expected = [undisturbed.json(frame) for frame in frames]
    found = [first.json(frame) for frame in frames[:at]]
    state = first.target.state()
    assert only_json_and_arrays(state)
    second.target.restore(state)
    found += [second.json(frame) for frame in frames[at:]]
    assert found == expected


def only_json_and_arrays(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and only_json_and_arrays(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(only_json_and_arrays, value))
    return value is None or isinstance(value, bool | int | float | str | np.ndarray)


def test_looking_at_the_tools_loads_nothing_heavy() -> None:
    modules = [f"videodag_cli.tools.{path.stem}" for path in (SAMPLES.parent / "videodag_cli/tools").glob("[a-z]*.py")]
    heavy = {"cv2", "av", "onnxruntime", "scenedetect", "zxingcpp", "rapidocr", "scipy"}
    code = (
        f"import sys, importlib\nfor m in {modules}: importlib.import_module(m)\nprint(*({heavy} & sys.modules.keys()))"
    )
    assert python(code).split() == []
