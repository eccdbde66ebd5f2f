"""Every check of a pipeline, its order, and which node feeds which parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graphs import document, node, plan, write
from videodag_cli.errors import PipelineError
from videodag_cli.graph.plan import Plan, Source


def problems(*args: Any, **more: Any) -> str:
    with pytest.raises(PipelineError) as caught:
        plan(*args, **more)
    assert caught.value.exit_code == 2
    return caught.value.message


def sources(found: Plan, node_id: str) -> dict[str, list[str]]:
    return {b.input.name: [s.node or "frame" for s in b.sources] for b in found.by_id[node_id].bindings}


def test_an_empty_pipeline_is_refused() -> None:
    assert "no nodes" in problems([])


def test_a_cycle_is_named_as_a_path() -> None:
    message = problems(["a:twice", "b:twice", "c:twice", "out:mean"], "a>b b>c c>a", outputs=["out", "c"])
    assert "cycle: a -> b -> c -> a" in message


def test_a_node_that_feeds_itself_is_a_cycle() -> None:
    assert "cycle: a -> a" in problems(["a:twice"], "a>a", outputs=["a"], entries=[])


def test_two_separate_cycles_are_both_named() -> None:
    message = problems(["a:twice", "b:twice", "c:twice", "d:twice"], "a>b b>a c>d d>c", outputs=["b", "d"], entries=[])
    assert "a -> b -> a" in message
    assert "c -> d -> c" in message


def test_an_unknown_plugin_is_named_with_the_nearest() -> None:
    assert "node 'x': unknown plugin 'qality'; did you mean 'quality'?" in problems([node("x:qality.sharpness")])


def test_an_unknown_tool_is_named_with_the_nearest() -> None:
    message = problems([node("x:toys.meen")])
    assert "unknown tool 'meen'; did you mean 'mean'?" in message


def test_an_unknown_param_is_named_with_the_nearest() -> None:
    assert "unknown param 'scal'; did you mean 'scale'?" in problems([node("mean", scal=2)])


def test_a_bad_param_says_what_is_right() -> None:
    message = problems([node("mean", scale=-1)])
    assert "node 'mean' (toys.mean): param 'scale': input should be greater than 0, got -1" in message


def test_a_missing_input_says_what_to_add() -> None:
    message = problems(["twice"])
    assert "parameter 'mean' has no input; add an edge from a node that gives mean" in message


def test_a_type_mismatch_names_both_types() -> None:
    message = problems(["index", "twice", "mean"], "index>twice mean>twice", outputs=["twice"])
    assert "edge index -> twice: type mismatch, 'index' gives index but toys.twice takes (mean: mean)" in message


def test_an_edge_that_feeds_nothing_is_named() -> None:
    message = problems(["bright", "as_codes", "follow"], "bright>follow as_codes>follow")
    assert "edge as_codes -> follow: feeds nothing" in message


def test_an_ambiguous_input_names_both_nodes() -> None:
    message = problems(["a:bright", "b:bright", "follow"], "a>follow b>follow")
    assert "parameter 'detections: detections' is ambiguous between 'a' and 'b'" in message


def test_an_unknown_edge_end_is_named() -> None:
    assert "edge mean -> twise: unknown node 'twise'; did you mean 'twice'?" in problems(
        ["mean", "twice"], "mean>twice mean>twise", outputs=["twice"]
    )


def test_an_edge_that_is_listed_twice_is_named() -> None:
    assert "edge mean -> twice: is listed twice" in problems(["mean", "twice"], "mean>twice mean>twice")


def test_a_duplicate_id_is_named() -> None:
    assert "node 'mean': duplicate id" in problems(["mean", "mean"])


def test_an_entry_node_with_a_predecessor_is_named() -> None:
    message = problems(["mean", "twice"], "mean>twice", entries=["mean", "twice"])
    assert "entry node 'twice': has the predecessor 'mean'" in message


def test_a_root_that_is_not_an_entry_is_named() -> None:
    assert "node 'index': has no predecessor but is not in entry_nodes" in problems(["mean", "index"], entries=["mean"])


def test_an_unknown_entry_or_output_node_is_named() -> None:
    message = problems(["mean"], entries=["mean", "x"], outputs=["mean", "y"])
    assert "entry_nodes: unknown node 'x'" in message
    assert "output_nodes: unknown node 'y'" in message


def test_a_node_that_reaches_no_output_is_named() -> None:
    assert "node 'index': reaches no output node" in problems(["mean", "index"], outputs=["mean"])


def test_a_pipeline_without_outputs_is_refused() -> None:
    assert "output_nodes: is empty" in problems(["mean"], outputs=[])


def test_a_frame_as_output_is_refused() -> None:
    assert "output node 'half': gives frame, which has no JSON form" in problems(["half"])


def test_all_problems_are_reported_at_once() -> None:
    message = problems([node("mean", scale=-1), node("x:toys.nothing"), "twice"], entries=["mean"], outputs=["mean"])
    for part in ("scale", "unknown tool 'nothing'", "'twice'", "reaches no output"):
        assert part in message
    assert message.count("\n  - ") >= 5


def test_an_odd_id_loads_with_a_warning() -> None:
    assert "my node" in plan(["my node:mean"]).warnings[0]


def test_an_override_of_an_unknown_node_is_named() -> None:
    assert "unknown node 'meen'; did you mean 'mean'?" in problems(["mean"], overrides={"meen": {"scale": 2}})


def test_overrides_replace_parameters() -> None:
    assert plan([node("mean", scale=3)], overrides={"mean": {"scale": 2}}).by_id["mean"].params == {"scale": 2.0}


def test_an_exact_type_wins_over_a_subclass() -> None:
    found = plan(["b:bright", "a:follow", "pair"], "b>a b>pair a>pair")
    assert sources(found, "pair") == {"detections": ["b"], "tracks": ["a"]}


def test_a_subclass_fits_where_its_base_is_wanted() -> None:
    assert sources(plan(["as_codes", "follow"], "as_codes>follow"), "follow")["detections"] == ["as_codes"]


def test_parameters_of_one_type_are_told_apart_by_node_ids() -> None:
    found = plan(["second:bright", "first:bright", "two"], "second>two first>two")
    assert sources(found, "two") == {"first": ["first"], "second": ["second"]}


def test_a_union_takes_either_type() -> None:
    assert sources(plan(["counter", "either"], "counter>either"), "either") == {"values": ["counter"]}


def test_an_optional_input_may_be_absent_or_bound() -> None:
    assert sources(plan(["perhaps"]), "perhaps") == {"frame": ["frame"], "detections": []}
    assert sources(plan(["bright", "perhaps"], "bright>perhaps"), "perhaps")["detections"] == ["bright"]


def test_a_variadic_input_takes_every_match_in_the_order_of_edges() -> None:
    found = plan(["c:bright", "a:as_codes", "b:bright", "many"], "c>many a>many b>many")
    assert sources(found, "many") == {"detections": ["c", "a", "b"]}


def test_a_frame_parameter_takes_a_transformed_frame() -> None:
    assert sources(plan(["half", "mean"], "half>mean"), "mean") == {"frame": ["half"]}


def test_a_second_output_of_a_node_is_bound_by_type() -> None:
    found = plan(["size", "twice"], "size>twice")
    assert found.by_id["twice"].bindings[0].sources == (Source("size", 1),)


def test_files_named_by_parameters_are_relative_to_the_pipeline(tmp_path: Path) -> None:
    from tests.graphs import TOYS
    from videodag_cli.graph.pipeline import load_pipeline
    from videodag_cli.graph.plan import make_plan
    from videodag_cli.graph.plugins import Registry

    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "reads.py").write_text(
        "from pathlib import Path\nfrom typing import NewType\nfrom videodag_cli import Frame, tool\n"
        "Text = NewType('Text', str)\n"
        "@tool\ndef text(frame: Frame, *, file: Path) -> Text:\n    return Text(file.read_text())\n"
    )
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "words.txt").write_text("hello")
    path = write(tmp_path / "here", document([node("x:reads.text", file="words.txt")]))
    registry = Registry([TOYS, tmp_path / "plugins"])
    found = make_plan(load_pipeline(path), registry)
    assert found.by_id["x"].params["file"] == tmp_path / "here" / "words.txt"
    assert found.files["x.file"].startswith("sha256:2cf24dba")
    with pytest.raises(PipelineError, match=r"param 'file': .*nowhere\.txt cannot be read: No such file"):
        make_plan(load_pipeline(path), registry, overrides={"x": {"file": "nowhere.txt"}}, folder=tmp_path)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[tuple[int, int]]]:
    count = draw(st.integers(1, 8))
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    parents: dict[int, int] = {}
    for a, b in chosen:
        parents.setdefault(b, a)
    names = draw(st.permutations([f"n{i}" for i in range(count)]))
    return list(names), [(a, b) for b, a in parents.items()]


@settings(max_examples=60)
@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_respects_edges_and_ignores_the_order_in_the_file(
    graph: tuple[list[str], list[tuple[int, int]]], random: Any
) -> None:
    names, pairs = graph
    children = {b for _, b in pairs}
    nodes = [f"{name}:{'twice' if i in children else 'mean'}" for i, name in enumerate(names)]
    edges = [f"{names[a]}>{names[b]}" for a, b in pairs]
    outputs = sorted(names)
    first = [step.id for step in plan(nodes, " ".join(edges), outputs=outputs).steps]
    random.shuffle(nodes)
    random.shuffle(edges)
    assert [step.id for step in plan(nodes, " ".join(edges), outputs=outputs).steps] == first
    for a, b in pairs:
        assert first.index(names[a]) < first.index(names[b])
