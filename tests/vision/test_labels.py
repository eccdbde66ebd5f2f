"""Class names as people have them: on the command line, in text, JSON, COCO annotations and data.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.commands import command, quick
from tests.onnx_models import constant_model
from videodag_cli.errors import ParamError
from videodag_cli.vision.onnx.labelfiles import read_labels
from videodag_cli.vision.onnx.labels import labels_in

CLIP = Path(__file__).parents[2] / "sample_videos" / "synthetic.mp4"
NAMES = ("cat", "traffic light", "naïve")
COCO = {
    "info": {"names": 3},
    "images": [],
    "categories": [{"id": i, "name": name, "supercategory": "x"} for i, name in enumerate(NAMES, 1)],
}
FORMS: dict[str, bytes] = {
    "a.txt": "cat\ntraffic light\nnaïve\n".encode(),
    "no_last_break": "cat\ntraffic light\nnaïve".encode(),
    "windows.txt": "cat\r\ntraffic light\r\nnaïve\r\n\r\n".encode(),
    "bom.names": b"\xef\xbb\xbf" + "cat\ntraffic light\nnaïve\n\n\n".encode(),
    "utf16.txt": "cat\r\ntraffic light\r\nnaïve\r\n".encode("utf-16"),
    "one_line.txt": "cat, traffic light, naïve\n".encode(),
    "numbered.txt": "0: cat\n1: traffic light\n2: naïve\n".encode(),
    "a.json": json.dumps(NAMES).encode(),
    "numbers.json": json.dumps(dict(enumerate(NAMES))).encode(),
    "config.json": json.dumps({"architectures": ["Detr"], "id2label": dict(enumerate(NAMES))}).encode(),
    "indices.json": json.dumps({name: i for i, name in enumerate(NAMES)}).encode(),
    "from_1.json": json.dumps(COCO).encode(),
    "from_0.json": json.dumps([{"id": i, "name": name} for i, name in reversed(list(enumerate(NAMES)))]).encode(),
    "flow.yaml": "path: ../d\ntrain: images\nnc: 3\nnames: ['cat', \"traffic light\", naïve]  # three\n".encode(),
    "flow_over_lines.yml": "names: [cat,\n  traffic light,\n  naïve]\nnc: 3\n".encode(),
    "block.yaml": "nc: 3\nnames:\n- cat\n- traffic light\n- naïve\n".encode(),
    "numbers.yaml": "# COCO\nnames:\n  0: cat\n  1: traffic light\n  2: naïve\n\ndownload: |\n  import os\n  print('x')\n".encode(),
    "out_of_order.yaml": "names: {2: naïve, 0: cat, 1: traffic light}\n".encode(),
    "windows.yaml": "names:\r\n  0: cat\r\n  1: traffic light\r\n  2: naïve\r\n".encode(),
    "named_txt.txt": "names: [cat, traffic light, naïve]\n".encode(),
    "alias.yaml": "a: &a cat\nnames: [*a, traffic light, naïve]\n".encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_names_are_read_from_every_form(form: str, tmp_path: Path) -> None:
    (tmp_path / form).write_bytes(FORMS[form])
    assert read_labels(tmp_path / form) == NAMES


def test_names_in_yaml_are_what_is_written(tmp_path: Path) -> None:
    """YAML 1.1 would make false, numbers, a date and nothing of them."""
    path = tmp_path / "data.yaml"
    path.write_text("names:\n- no\n- 1\n- 1e3\n- 2024-01-01\n- 'null'\n- ~x\n")
    assert read_labels(path) == ("no", "1", "1e3", "2024-01-01", "null", "~x")


BAD: dict[str, tuple[bytes, str]] = {
    "binary": (b"\xff\xfe\x00", "cannot be read as text"),
    "latin1.txt": ("caf\xe9\n".encode("latin-1"), "is not UTF-8"),
    "zeros.txt": (b"a\x00b\n", "cannot be read as text"),
    "object.json": (b'{"a": "b"}', "not a JSON list"),
    "torn.json": (b'["a", ', "is not valid JSON"),
    "gap.txt": (b"cat\n\ndog\n", "empty name"),
    "empty.txt": (b"", "empty name"),
    "lfs.yaml": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "Git LFS pointer.*git lfs pull",
    ),
    "page.txt": (b"<!DOCTYPE html>", "is XML or a web page"),
    "map.pbtxt": (b"item {\n  id: 1\n  name: 'cat'\n}\n", "is a TensorFlow label map"),
    "gap.yaml": (b"names: {0: cat, 2: dog}\n", "has 2 names, but none for class 1: class numbers go from 0 to 1"),
    "from_1.yaml": (b"names: {1: cat, 2: dog}\n", "none for class 0"),
    "twice.yaml": (b"names: {0: cat, 0: dog}\n", "has the key '0' twice"),
    "twice.json": (b'{"0": "cat", "0": "dog"}', "has the key '0' twice"),
    "nested.yaml": (b"names: {0: [cat]}\n", "name in line 1 that is not text"),
    "path.yaml": (b"names: ./data/coco.names\n", "has no `names`, as a list"),
    "coco.data": (b"classes= 80\nnames = data/coco.names\n", "is a Darknet .data file; name the file"),
    "none.yaml": (b"nc: 2\ntrain: x\n", "has no `names`"),
    "tabs.yaml": (b"names:\n\t- cat\n", "is not valid YAML: .* in line 2"),
    "object.yaml": (b"names: !!python/object/apply:os.system ['true']\nx: [\n", "is not valid YAML"),
    "gaps.json": (json.dumps({"categories": [{"id": 1, "name": "a"}, {"id": 3, "name": "b"}]}).encode(), "with gaps"),
    "same.json": (json.dumps([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]).encode(), "two categories the same id"),
}


@pytest.mark.parametrize("form", BAD)
def test_files_that_give_no_names_are_refused_with_the_reason(form: str, tmp_path: Path) -> None:
    content, message = BAD[form]
    (tmp_path / form).write_bytes(content)
    with pytest.raises(ParamError, match=message) as caught:
        read_labels(tmp_path / form)
    assert caught.value.word == "param.file"
    assert "\n" not in caught.value.message


def test_nothing_in_a_yaml_file_is_built(tmp_path: Path) -> None:
    path, trap = tmp_path / "data.yaml", tmp_path / "trap"
    path.write_text(f"x: !!python/object/apply:os.mkdir ['{trap}']\nnames: [cat]\n")
    assert read_labels(path) == ("cat",)
    assert not trap.exists()


def test_a_folder_is_no_list_of_names(tmp_path: Path) -> None:
    with pytest.raises(ParamError, match="is not a file"):
        read_labels(tmp_path)


def test_names_in_a_models_metadata_are_read_whatever_the_exporter_calls_them() -> None:
    for key, text in (
        ("names", str(dict(enumerate(NAMES)))),
        ("names", json.dumps(list(NAMES))),
        ("id2label", json.dumps(dict(enumerate(NAMES)))),
        ("character", "\n".join(NAMES)),
        ("classes", ",".join(NAMES)),
    ):
        assert labels_in({key: text}) == NAMES, key


@given(content=st.binary(max_size=120), suffix=st.sampled_from(["txt", "json", "yaml"]))
def test_any_bytes_are_names_or_refused(content: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    path.write_bytes(content)
    try:
        names = read_labels(path)
    except ParamError:
        return
    assert names
    assert all(names)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finds the second of three classes in every picture, and does not name it."""
    out = np.zeros((1, 7, 84), np.float32)
    out[0, :, 3] = [32, 32, 20, 20, 0, 0.9, 0]
    return constant_model(tmp_path_factory.mktemp("model") / "m.onnx", {"output0": out})


def first_class(model: Path, labels: str, cwd: Path) -> Any:
    arguments = ["-p", "builtin:objects", "--max-frames", "1", "-q", "--set", f"detect.model={model}"]
    done = quick(command("run", *arguments, "--set", f"detect.labels={labels}", CLIP), cwd=cwd)
    assert done.code == 0, done.err
    return done.lines[0]["result"]["detect"][0]["class_name"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels", ["ant,bee,fly", "ant, bee ,fly,", '["ant", "bee", "fly"]', "my,own.txt", "data.yaml"]
)
def test_labels_on_the_command_line_are_names_or_a_file(labels: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "my,own.txt").write_text("ant\nbee\nfly\n")
    (tmp_path / "data.yaml").write_text("names: [ant, bee, fly]\n")
    assert first_class(model, labels, tmp_path) == "bee"


def test_a_single_name_without_a_comma_is_told_how_to_be_one(model: Path) -> None:
    arguments = ["-p", "builtin:objects", "--set", f"detect.model={model}", "--set", "detect.labels=person"]
    done = quick(command("run", *arguments, CLIP))
    assert done.code == 2
    assert "person cannot be read: No such file or directory; a single name is written with a comma: cat," in done.err


def test_labels_that_are_names_belong_to_the_request_as_they_are(model: Path, tmp_path: Path) -> None:
    done = quick(
        command(
            *("run", "-p", "builtin:objects", "--dry-run", "--set", f"detect.model={model}"),
            *("--set", "detect.labels=ant,bee,fly", CLIP),
        ),
        cwd=tmp_path,
    )
    assert json.loads(done.out)["request"]["params"]["detect"]["labels"] == ["ant", "bee", "fly"]
