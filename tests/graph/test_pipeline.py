"""Pipeline files: their form, their limits, and how they are found."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graphs import document, registry, write
from videodag_cli.errors import PipelineError
from videodag_cli.graph.pipeline import (
    BUILTIN,
    Pipeline,
    Place,
    builtin_folder,
    catalogue,
    find_pipeline,
    load_pipeline,
    parse_pipeline,
    search_places,
)
from videodag_cli.graph.plan import make_plan


def refused(data: bytes) -> str:
    with pytest.raises(PipelineError) as caught:
        parse_pipeline(data, shown="p.json")
    return caught.value.message


def test_unknown_keys_at_the_top_are_kept_as_metadata() -> None:
    raw = document(["mean"]) | {"owner": {"team": "cameras"}}
    assert parse_pipeline(orjson.dumps(raw)).model_extra == {"owner": {"team": "cameras"}}


def test_files_without_params_load_unchanged() -> None:
    raw = document(["mean"])
    del raw["nodes"][0]["params"]
    assert parse_pipeline(orjson.dumps(raw)).nodes[0].params == {}


@pytest.mark.parametrize("where", ["nodes", "edges"])
def test_unknown_keys_in_nodes_and_edges_are_errors(where: str) -> None:
    raw = document(["mean", "twice"], "mean>twice")
    raw[where][0]["colour"] = 1
    place = {"nodes": "node 'mean'", "edges": "edge mean -> twice"}[where]
    assert f"{place}: unknown key 'colour'" in refused(orjson.dumps(raw))


def test_all_problems_of_form_are_reported_at_once() -> None:
    message = refused(b'{"id":"p","nodes":[{"id":"a"}],"edges":[],"entry_nodes":7}')
    for part in ("name: is missing", "nodes.0.plugin_id: is missing", "nodes.0.tool_id: is missing", "entry_nodes"):
        assert part in message


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is not valid JSON"),
        (b"[1]", "is not a JSON object but list"),
        (b'{"id": NaN}', "NaN is not a JSON number"),
        (b'{"id":"a","id":"b"}', "duplicate key 'id'"),
        (b'{"x":' * 100 + b"1" + b"}" * 100, "nested deeper"),
        (b"[" * 100_000, "nested deeper"),
        (b"\xff\xfe", "is not valid JSON"),
    ],
)
def test_what_is_not_a_pipeline_is_refused_in_one_sentence(data: bytes, problem: str) -> None:
    assert problem in refused(data)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big.json").write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(PipelineError, match="larger than the 1024 KiB"):
        load_pipeline(tmp_path / "big.json")


def test_too_many_nodes_are_refused() -> None:
    assert "nodes" in refused(orjson.dumps(document([f"n{i}:mean" for i in range(1001)])))


def test_problems_of_form_are_reported_with_those_of_the_graph(tmp_path: Path) -> None:
    raw = document(["mean", "x:toys.nothing"], id="one", outputs=["mean"])
    raw["nodes"][0]["colour"] = 1
    path = write(tmp_path, raw)
    path.rename(tmp_path / "two.json")
    with pytest.raises(PipelineError) as caught:
        make_plan(load_pipeline(tmp_path / "two.json"), registry())
    for part in (
        "node 'mean': unknown key 'colour'",
        "id 'one' differs from the file's name",
        "unknown tool 'nothing'",
    ):
        assert part in caught.value.message


def test_a_folder_that_cannot_be_looked_into_is_passed_over(tmp_path: Path) -> None:
    if os.geteuid() == 0:  # root may look anywhere: a name that is too long is refused to everybody
        assert find_pipeline("quality", [Place("user", tmp_path / ("x" * 300)), *search_places()]).id == "quality"
    (tmp_path / "shut").mkdir(mode=0o000)
    places = [Place("user", tmp_path / "shut"), *search_places()]
    assert find_pipeline("quality", places).id == "quality"
    assert "quality" in {found.id for found in catalogue(places)}


def test_names_are_escaped_in_messages(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        load_pipeline(tmp_path / "a\x1b[31m\n.json")
    assert "\x1b" not in caught.value.message
    assert "\n" not in caught.value.message


def test_the_search_order_is_as_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["given", "env", "here/pipelines", "home/videodag/pipelines"]
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        write(tmp_path / name, document(["mean"], id="quality") | {"name": name})
    (tmp_path / "here").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("VIDEODAG_PIPELINES", str(tmp_path / "env"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    places = search_places([tmp_path / "given"])
    for name in names:
        found = find_pipeline("quality", places)
        assert load_pipeline(found.path).pipeline.name == name
        assert builtin_folder() / "quality.json" in found.hides
        (tmp_path / name / "quality.json").unlink()
    assert find_pipeline("quality", places).place.label == "builtin"
    assert find_pipeline("quality", places).hides == ()


def test_builtin_always_means_the_built_in_one(tmp_path: Path) -> None:
    write(tmp_path, document(["mean"], id="quality"))
    assert find_pipeline(BUILTIN + "quality", search_places([tmp_path])).path == builtin_folder() / "quality.json"


def test_a_path_works_wherever_an_id_does(tmp_path: Path) -> None:
    path = write(tmp_path, document(["mean"], id="mine"))
    assert find_pipeline(str(path), search_places()).path == path


@pytest.mark.parametrize("name", ["qualty", "", "../quality", "a\0b", "builtin:nothing"])
def test_an_unknown_name_is_an_error_of_its_own_word(name: str) -> None:
    with pytest.raises(PipelineError) as caught:
        find_pipeline(name, search_places())
    assert caught.value.word == "pipeline.unknown"


def test_the_nearest_name_is_proposed() -> None:
    with pytest.raises(PipelineError, match="did you mean 'quality'"):
        find_pipeline("qualty", search_places())


def test_every_shipped_pipeline_loads() -> None:
    shipped = catalogue([place for place in search_places() if place.label == "builtin"])
    assert {"quality", "motion", "scenes", "codes", "inspect"} <= {found.id for found in shipped}
    for found in shipped:
        assert load_pipeline(found.path).pipeline.description


@settings(max_examples=150)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["a", "b"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "name", "nodes", "edges", "plugin_id", "tool_id", "params", "from_node", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_json_crashes_the_loader(value: object) -> None:
    data = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str) if _fits(value) else b"1e999"
    with contextlib.suppress(PipelineError):
        assert isinstance(parse_pipeline(data), Pipeline)


def _fits(value: object) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True
