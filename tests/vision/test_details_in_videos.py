"""Masks, key points and corners in videos that are stored turned, behind a crop and a resize: they follow what the picture shows.

The models look: each finds a lamp by its light, with a mask of what is bright, a key point in the middle of it, or a turned box there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.clips import TURNED, encode, read_index, set_matrix
from tests.graphs import document, node, write
from tests.onnx_models import save
from videodag_cli import Frame, RunOptions, iter_video, run_video
from videodag_cli.data import Image
from videodag_cli.lines import plain
from videodag_cli.tools.detect import Objects

NET = (128, 96)
CELLS = 16 * 12 + 8 * 6 + 4 * 3
SIZE = (240, 160)
REGION = (20, 10, 220, 160)
"""Of the upright picture; made half as large, it fills the network's picture."""
ANGLE = 0.4


def scene(index: int) -> Image:
    """An L of light in the dark, which moves to the right."""
    image = np.full((SIZE[1], SIZE[0], 3), 30, np.uint8)
    left = 60 + 3 * index
    image[36:124, left : left + 26] = 225
    image[98:124, left : left + 90] = 225
    return image


def lit_model(path: Path, kind: str) -> Path:
    """YOLO segmentation, pose or turned boxes for pictures of 128x96, any number at once; what it finds depends on the light."""
    width, height = NET
    behind = {"segment": 1, "pose": 3, "obb": 1}[kind]
    constants: dict[str, NDArray[Any]] = {
        "x": np.broadcast_to(np.arange(width, dtype=np.float32) + 0.5, (1, 1, height, width)).copy(),
        "y": np.broadcast_to((np.arange(height, dtype=np.float32) + 0.5)[:, None], (1, 1, height, width)).copy(),
        "half": np.float32(0.5).reshape(1),
        "steep": np.float32(40).reshape(1),
    }
    table = np.zeros((1, 5 + behind, CELLS), np.float32)
    rest = {"segment": [1.0], "pose": [0, 0, 0.75], "obb": [ANGLE]}[kind]
    table[0, :, 7] = [*((0, 0, 30, 12) if kind == "obb" else (64, 48, 127, 95)), 0.9, *rest]
    constants["table"] = table
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["light"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["light", "half"], ["over"]),
        helper.make_node("Mul", ["over", "steep"], ["logit"]),
        helper.make_node("Relu", ["over"], ["bright"]),
        helper.make_node("ReduceMean", ["bright"], ["total"], axes=[2, 3], keepdims=1),
    ]
    places = (0, 1) if kind == "obb" else (5, 6)
    names = ["table"]
    if kind != "segment":
        for axis, place in zip("xy", places, strict=True):
            mask = np.zeros((1, 5 + behind, CELLS), np.float32)
            mask[0, place, 7] = 1
            constants[f"put_{axis}"] = mask
            constants["flat"] = np.array([0, 1, 1], np.int64)
            nodes += [
                helper.make_node("Mul", ["bright", axis], [f"weighted_{axis}"]),
                helper.make_node("ReduceMean", [f"weighted_{axis}"], [f"sum_{axis}"], axes=[2, 3], keepdims=1),
                helper.make_node("Div", [f"sum_{axis}", "total"], [f"middle_{axis}"]),
                helper.make_node("Reshape", [f"middle_{axis}", "flat"], [f"row_{axis}"]),
                helper.make_node("Mul", [f"row_{axis}", f"put_{axis}"], [f"part_{axis}"]),
            ]
            names.append(f"part_{axis}")
        nodes.append(helper.make_node("Sum", names, ["output0"]))
    else:  # the table, once for each picture
        constants["nothing"] = np.zeros(1, np.float32)
        constants["flat"] = np.array([0, 1, 1], np.int64)
        nodes += [
            helper.make_node("Reshape", ["total", "flat"], ["row"]),
            helper.make_node("Mul", ["row", "nothing"], ["zero"]),
            helper.make_node("Add", ["zero", "table"], ["output0"]),
            helper.make_node("AveragePool", ["logit"], ["output1"], kernel_shape=[4, 4], strides=[4, 4]),
        ]
    outputs = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 5 + behind, CELLS])]
    if kind == "segment":
        outputs.append(helper.make_tensor_value_info("output1", TensorProto.FLOAT, ["n", 1, height // 4, width // 4]))
    told = {"names": "{0: 'lamp'}", "task": kind} | ({"kpt_shape": "[1, 3]"} if kind == "pose" else {})
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, height, width])]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return save(path, nodes, inputs, outputs, weights, told)


KINDS = ("segment", "pose", "obb")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models, and the pipeline: a crop, made smaller, in which all three look."""
    made = tmp_path_factory.mktemp("lit")
    models = {kind: str(lit_model(made / f"{kind}.onnx", kind)) for kind in KINDS}
    looks = [node(f"{kind}:detect.objects", model=model) for kind, model in models.items()]
    first = [node("crop:image.crop", region=list(REGION)), node("small:image.resize", max_side=100)]
    edges = "crop>small " + " ".join(f"small>{kind}" for kind in KINDS)
    write(
        made,
        document(
            [*first, *looks, "track:track.objects"], f"{edges} segment>track", outputs=[*KINDS, "track"], id="lit"
        ),
    )
    return made


def clip(path: Path, clockwise: int, *, told: bool = True) -> Path:
    """The scene, stored turned back by so much; `told`: the file says how to turn it."""

    def prepare(image: Image) -> Image:
        return np.ascontiguousarray(np.rot90(scene(read_index(image) or 0), clockwise // 90))

    encode(path, indices=range(8), size=SIZE, prepare=prepare, options={"crf": "6"})
    return set_matrix(path, TURNED[clockwise]) if told and clockwise else path


def results(clip: Path, folder: Path) -> list[dict[str, Any]]:
    return [result.values for result in iter_video(clip, folder / "lit.json") if result.values is not None]


def stored_pictures(path: Path) -> list[Image]:
    import av

    with av.open(str(path)) as file:
        return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in file.decode(video=0)]


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_details_lie_where_the_upright_picture_shows_them(clockwise: int, folder: Path, tmp_path: Path) -> None:
    lines = results(clip(tmp_path / "a.mp4", clockwise), folder)
    assert len(lines) == 8
    for index, values in enumerate(lines):
        light = scene(index)[..., 0] > 128
        (row,) = values["segment"]
        bits = coco.decode(row["mask"]).astype(bool)
        assert bits.shape == (SIZE[1], SIZE[0])
        assert (bits & light).sum() / (bits | light).sum() > 0.9
        assert [values["track"][0]["mask"]] == [row["mask"]]
        y, x = np.nonzero(light)
        middle = (x.mean() + 0.5, y.mean() + 0.5)
        ((point,),) = (found["keypoints"] for found in values["pose"])
        assert point == pytest.approx([*middle, 0.75], abs=0.7)
        (corners,) = (np.array(found["corners"]) for found in values["obb"])
        assert corners.mean(axis=0) == pytest.approx(middle, abs=0.7)
        across = corners[1] - corners[0]
        assert np.arctan2(across[1], across[0]) == pytest.approx(ANGLE, abs=0.01)
        assert np.hypot(*across) == pytest.approx(30 / NET[0] * 200, abs=0.1)


@pytest.mark.parametrize("clockwise", [90, 180, 270])
def test_rows_of_a_turned_video_are_the_models_own_for_the_upright_picture(
    clockwise: int, folder: Path, tmp_path: Path
) -> None:
    """The same stored pictures without the matrix, turned here."""
    lines = results(clip(tmp_path / "a.mp4", clockwise), folder)
    stored = stored_pictures(clip(tmp_path / "b.mp4", clockwise, told=False))
    for kind in KINDS:
        tool = Objects(model=folder / f"{kind}.onnx")
        for picture, values in zip(stored, lines, strict=True):
            upright = Frame.from_image(np.ascontiguousarray(np.rot90(picture, -clockwise // 90)))
            seen = upright.cropped(*REGION).scaled(100)
            (found,) = tool([seen])
            assert plain(found.mapped(seen.to_source)) == values[kind]


def test_any_number_of_workers_and_any_batch_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    assert all(Objects(model=folder / f"{kind}.onnx").batch_size > 1 for kind in KINDS)
    path, written = clip(tmp_path / "a.mp4", 90), set()
    for workers, batch in ((1, 1), (1, 4), (2, 3), (4, 8)):
        output = tmp_path / f"{workers}-{batch}.jsonl"
        done = run_video(
            path, folder / "lit.json", output=output, options=RunOptions(workers=workers, batch_size=batch)
        )
        assert done.exit_code == 0
        written.add(output.read_bytes())
    assert len(written) == 1
