"""`--device`: named in the record, part of the request, and refused with the line that installs what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from tests.commands import command, quick
from videodag_cli.cli.device import put_on_device
from videodag_cli.errors import ParamError, RequestError
from videodag_cli.graph.pipeline import builtin_folder, load_pipeline
from videodag_cli.graph.plugins import Registry
from videodag_cli.vision.onnx.session import CPU, provider_of

CUDA = "CUDAExecutionProvider"


def given(pipeline: str, device: Any, **values: Any) -> dict[str, Any]:
    found: list[dict[str, Any]] = [values]
    put_on_device([load_pipeline(builtin_folder() / f"{pipeline}.json").pipeline], Registry(), found, device)
    return found[0]


def test_a_device_that_is_not_installed_is_refused_with_the_line_that_installs_it() -> None:
    for device, line in (("cuda", "pip install onnxruntime-gpu"), ("openvino", "pip install onnxruntime-openvino")):
        with pytest.raises(ParamError, match=f"device {device}: .* is not in this onnxruntime; .*{line}"):
            provider_of(device)  # type: ignore[arg-type]


def test_auto_takes_the_first_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for installed, expected in (([CPU], CPU), (["OpenVINOExecutionProvider", CUDA, CPU], CUDA)):
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda found=installed: found)
        assert provider_of("auto") == expected


def test_every_node_with_a_network_gets_the_device_unless_it_names_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    assert given("people_pose", "cuda") == {"people": {"provider": CUDA}, "pose": {"provider": CUDA}}
    assert given("people_pose", "cuda", pose={"provider": CPU})["pose"] == {"provider": CPU}
    assert given("faces", "auto") == {"people": {"provider": CUDA}, "faces": {"provider": CUDA}}


def test_a_pipeline_without_a_network_has_nothing_to_put_on_a_device() -> None:
    with pytest.raises(RequestError, match="no node of this pipeline runs a network"):
        given("quality", "cpu")


@pytest.mark.slow
def test_a_run_names_its_device_in_the_record(tmp_path: Path) -> None:
    clip = Path(__file__).parents[2] / "sample_videos" / "synthetic.mp4"
    output = tmp_path / "o.jsonl"
    done = quick(command("run", "-q", "-p", "vehicles", "--device", "cpu", "--max-frames", "1", clip, "-o", output))
    assert done.code == 0, done.err
    record = json.loads(Path(f"{output}.run.json").read_text())
    assert CPU in json.dumps(record["request"])
    refused = quick(command("run", "-q", "-p", "vehicles", "--device", "cuda", "--max-frames", "1", clip))
    assert refused.code == 2
    assert "onnxruntime-gpu" in refused.err
    assert len(refused.err.splitlines()) == 1
