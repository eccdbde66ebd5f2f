"""From a signature to a description."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NewType

import numpy as np
import pytest
from pydantic import Field

from videodag_cli import Detections, Frame, Tracks, VideoInfo, tool
from videodag_cli.errors import ParamError, PluginError
from videodag_cli.toolspec import ToolSpec, is_subtype, snake_case, spec_of, type_name

Score = NewType("Score", float)
People = NewType("People", Detections)


def spec(target: Any) -> ToolSpec:
    found = spec_of(target)
    assert found is not None
    return found


@tool(version=3)
def scored(frame: Frame, *, low: Annotated[float, Field(ge=0, le=1)] = 0.25, names: list[str] | None = None) -> Score:
    """Score a frame.

    More words.
    """
    return Score(low)


def test_the_decorator_returns_its_target_unchanged() -> None:
    frame = Frame.from_image(np.zeros((2, 2, 3), np.uint8))
    assert scored(frame, low=0.5) == 0.5
    assert spec(scored).version == 3


def test_inputs_outputs_and_params_come_from_the_signature() -> None:
    signature = spec(scored).signature
    assert [i.label for i in signature.inputs] == ["frame: frame"]
    assert [type_name(o) for o in signature.outputs] == ["score"]
    assert spec(scored).check_params({}) == {"low": 0.25, "names": None}


def test_annotations_local_to_a_function_are_resolved() -> None:
    Local = NewType("Local", int)

    @tool
    def local(frame: Frame, *, size: int = 3) -> Local:
        return Local(size)

    assert spec(local).signature.outputs == (Local,)


def test_a_class_takes_the_video_and_keeps_state() -> None:
    @tool
    class FollowThings:
        def __init__(self, video: VideoInfo, *, max_age: int = 30) -> None:
            self.max_age = max_age

        def __call__(self, frame: Frame, detections: Detections) -> Tracks:
            return Tracks.empty()

    found = spec(FollowThings)
    assert found.id == "follow_things"
    assert found.signature.wants_video
    assert not found.stateless
    assert found.signature.params["max_age"][1] == 30


def test_an_id_of_its_own_can_be_given() -> None:
    @tool(id="other")
    def named(frame: Frame) -> Score:
        return Score(0)

    assert spec(named).id == "other"


def test_a_subclass_of_a_tool_is_not_a_tool() -> None:
    @tool
    class Base:
        def __call__(self, frame: Frame) -> Score:
            return Score(0)

    class Derived(Base):
        pass

    assert spec_of(Derived) is None


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("def bad(frame: Frame) -> float: return 1.0", "the return type is a bare float"),
        ("def bad(frame: Frame) -> dict[str, int]: return {}", "the return type is a bare dict"),
        ("def bad(frame: Frame, x: int) -> Score: return 1", "parameter 'x' is a bare int"),
        ("def bad(frame) -> Score: return 1", "parameter 'frame' has no annotation"),
        ("def bad(frame: Frame): return 1", "the return type is not annotated"),
        ("def bad(frame: Fram) -> Score: return 1", "the annotation of parameter 'frame' cannot be resolved"),
        ("def bad(frame: Frame) -> Scoer: return 1", "the annotation of the return type cannot be resolved"),
        ("def bad(frame: Frame, d: Detections = None) -> Score: return 1", "write `X | None`"),
        ("def bad(frame: Frame, **rest: Frame) -> Score: return 1", "**rest is not supported"),
        ("def bad(video: VideoInfo) -> Score: return 1", "make this tool a class"),
        ("def bad(frame: Frame) -> tuple[Score, Score]: return 1", "two outputs have the same type name"),
        ("class bad:\n    pass", "needs a method __call__"),
        ("class bad:\n    def __init__(self, size: int) -> None: ...\n    def __call__(self, frame: Frame) -> Score: ...",
         "__init__ parameter 'size' is positional"),
        ("class bad:\n    def __call__(self, frame: Frame, *, size: int = 1) -> Score: ...",
         "a class takes configuration in __init__"),
    ],
)  # fmt: skip
def test_what_cannot_be_described_is_an_error_naming_tool_and_parameter(body: str, problem: str) -> None:
    names: dict[str, Any] = {
        "tool": tool, "Frame": Frame, "Score": Score, "Detections": Detections, "VideoInfo": VideoInfo, "__name__": "m"
    }  # fmt: skip
    exec(compile(f"@tool\n{body}", "m.py", "exec"), names)
    with pytest.raises(PluginError) as caught:
        _ = spec(names["bad"]).signature
    assert problem in caught.value.message
    assert "tool 'bad' (m.bad)" in caught.value.message
    assert caught.value.word == "plugin.broken"


def test_unknown_and_wrong_params_are_all_named() -> None:
    with pytest.raises(ParamError) as caught:
        spec(scored).check_params({"lo": 1, "low": 7})
    assert "unknown param 'lo'; did you mean 'low'?" in caught.value.message
    assert "param 'low': input should be less than or equal to 1, got 7" in caught.value.message


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [("low", "0.5", 0.5), ("names", '["a","b"]', ["a", "b"]), ("names", "null", None)],
)
def test_text_from_the_command_line_is_read_as_the_type_first_then_as_json(
    name: str, text: str, expected: object
) -> None:
    found = spec(scored)
    assert found.check_params({name: found.parse_text(name, text)})[name] == expected


def test_params_that_may_be_files_are_known_and_literals_are_not_files() -> None:
    @tool
    def reads(frame: Frame, *, model: Literal["people"] | Path = "people", size: int = 1) -> Score:
        return Score(0)

    assert spec(reads).file_params() == {"model"}
    assert spec(reads).choices("model") == {"people"}


def test_a_list_for_a_parameter_that_may_be_a_file_is_a_list() -> None:
    @tool
    def labelled(frame: Frame, *, labels: list[str] | Path | None = None) -> Score:
        return Score(0)

    found = spec(labelled)
    assert found.parse_text("labels", '["a","b"]') == ["a", "b"]
    assert found.parse_text("labels", "names.txt") == "names.txt"


def test_types_fit_by_identity_subclass_or_newtype_but_not_by_name() -> None:
    assert is_subtype(Tracks, Detections)
    assert is_subtype(People, Detections)
    assert not is_subtype(Detections, People)
    assert not is_subtype(NewType("Score", float), Score)


def test_names_become_snake_case() -> None:
    assert [snake_case(n) for n in ("FreezeTime", "QRCode", "MovingShare2", "tracks")] == [
        "freeze_time",
        "qr_code",
        "moving_share2",
        "tracks",
    ]
