"""A pipeline and a registry become a plan: every check, the order, and which node feeds which parameter.

`make_plan` reports all problems at once. Inputs are bound to parameters by type: a predecessor of exactly the parameter's type wins
over a subclass; if several still fit, the parameter named like the predecessor's node takes it; else it is an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from videodag_cli.errors import ParamError, PipelineError, PluginError, printable
from videodag_cli.graph.pipeline import LoadedPipeline, Node, Pipeline, listing
from videodag_cli.graph.plugins import Registry
from videodag_cli.lines import json_form, output_key
from videodag_cli.toolspec import Input, ToolSpec, type_name, unknown_name

Overrides = Mapping[str, Mapping[str, Any]]
"""node id -> parameter -> value, as given on the command line."""

_ORDINARY_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Source:
    """Where a parameter's value comes from: an output of a node, or the decoded frame (`node` is None)."""

    node: str | None
    output: int = 0


DECODED = Source(None)


@dataclass(frozen=True)
class Binding:
    """A parameter with its sources: none for an absent optional, one, or any number for `*xs`."""

    input: Input
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Step:
    """A node ready to run."""

    node: Node
    spec: ToolSpec
    params: dict[str, Any]
    bindings: tuple[Binding, ...]
    predecessors: tuple[str, ...]
    is_output: bool

    @property
    def id(self) -> str:
        return self.node.id

    @property
    def tool_name(self) -> str:
        return f"{self.node.plugin_id}.{self.node.tool_id}"


@dataclass(frozen=True)
class Plan:
    """A pipeline whose every part has been checked, in the order in which its nodes run."""

    loaded: LoadedPipeline
    steps: tuple[Step, ...]
    files: dict[str, str]
    """Files named by parameters, as `node.param` -> `sha256:...`."""
    registry: Registry = field(repr=False, compare=False)
    """Where the tools came from."""
    warnings: tuple[str, ...] = ()

    @property
    def pipeline(self) -> Pipeline:
        return self.loaded.pipeline

    @cached_property
    def by_id(self) -> dict[str, Step]:
        return {step.id: step for step in self.steps}

    @property
    def output_types(self) -> dict[str, list[str]]:
        """Output node -> its type names, in the order of the lines' keys."""
        return {
            node: [output_key(kind) for kind in self.by_id[node].spec.signature.outputs]
            for node in self.pipeline.output_nodes
        }


def make_plan(
    loaded: LoadedPipeline, registry: Registry, *, overrides: Overrides | None = None, folder: Path | None = None
) -> Plan:
    """Check everything about a pipeline and decide how it runs.

    overrides: parameters that replace the file's; paths in them are relative to `folder` (the working directory).
    Raises `PipelineError` that lists every problem.
    """
    planner = _Planner(loaded, registry, overrides or {}, folder or _working_folder())
    plan = planner.plan()
    if planner.problems:
        count = len(planner.problems)
        head = f"{printable(loaded.path)}: {count} problem{'s' * (count != 1)}"
        only_params = count == len(planner.param_problems)
        raise PipelineError(
            listing(head, planner.problems), word="param.invalid" if only_params else "pipeline.invalid"
        )
    assert plan is not None
    return plan


def _working_folder() -> Path:
    """Absolute, so that a param's file is named in full; where the working directory was deleted, what relative paths still mean."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path()


class _Planner:
    def __init__(self, loaded: LoadedPipeline, registry: Registry, overrides: Overrides, folder: Path) -> None:
        self.loaded = loaded
        self.pipeline = loaded.pipeline
        self.registry = registry
        self.overrides = overrides
        self.folder = folder
        self.problems: list[str] = list(loaded.problems)
        self.param_problems: list[str] = []
        """Those of the problems that are about parameters."""
        self.warnings: list[str] = []
        self.files: dict[str, str] = {}
        self.nodes: dict[str, Node] = {}
        self.before: dict[str, list[str]] = {}
        self.after: dict[str, list[str]] = {}

    def plan(self) -> Plan | None:
        if not self.pipeline.nodes:
            self.problems.append("the pipeline has no nodes; give it at least one")
            return None
        self._collect_nodes()
        self._collect_edges()
        order = self._order()
        self._check_ends()
        specs = self._specs()
        params = {node_id: self._params(self.nodes[node_id], spec) for node_id, spec in specs.items()}
        bindings = {node_id: self._bind(node_id, specs) for node_id in specs}
        self._check_outputs(specs)
        if self.problems:
            return None
        steps = tuple(
            Step(
                self.nodes[node_id],
                specs[node_id],
                params[node_id],
                bindings[node_id],
                tuple(self.before[node_id]),
                node_id in self.pipeline.output_nodes,
            )
            for node_id in order
        )
        return Plan(self.loaded, steps, self.files, self.registry, tuple(self.warnings))

    # --- the graph ---

    def _collect_nodes(self) -> None:
        for node in self.pipeline.nodes:
            if node.id in self.nodes:
                self.problems.append(f"node {_q(node.id)}: duplicate id; every node needs its own")
                continue
            self.nodes[node.id] = node
            if not _ORDINARY_ID.fullmatch(node.id):
                self.warnings.append(f"node {_q(node.id)}: an id of letters, digits and _ is easier to use in queries")
        self.before = {node_id: [] for node_id in self.nodes}
        self.after = {node_id: [] for node_id in self.nodes}
        for node_id in self.overrides:
            if node_id not in self.nodes:
                self.problems.append(unknown_name("node", node_id, sorted(self.nodes)))

    def _collect_edges(self) -> None:
        for edge in self.pipeline.edges:
            name = f"edge {printable(edge.from_node)} -> {printable(edge.to_node)}"
            missing = [end for end in (edge.from_node, edge.to_node) if end not in self.nodes]
            for end in missing:
                self.problems.append(f"{name}: {unknown_name('node', end, sorted(self.nodes))}")
            if missing:
                continue
            if edge.from_node in self.before[edge.to_node]:
                self.problems.append(f"{name}: is listed twice; remove one")
                continue
            self.before[edge.to_node].append(edge.from_node)
            self.after[edge.from_node].append(edge.to_node)

    def _order(self) -> list[str]:
        """Topological order, ties broken by node id (Kahn 1962); cycles are reported as paths."""
        import heapq

        waiting = {node_id: len(before) for node_id, before in self.before.items()}
        ready = [node_id for node_id, count in waiting.items() if count == 0]
        heapq.heapify(ready)
        order = []
        while ready:
            node_id = heapq.heappop(ready)
            order.append(node_id)
            for follower in self.after[node_id]:
                waiting[follower] -= 1
                if waiting[follower] == 0:
                    heapq.heappush(ready, follower)
        left = {node_id for node_id in self.nodes if waiting[node_id] > 0}
        while left:
            path = self._cycle(left)
            if not path:
                break
            self.problems.append(f"cycle: {' -> '.join(map(printable, path))}; remove one of these edges")
            left -= set(path)
        return order

    def _cycle(self, among: set[str]) -> list[str]:
        """A cycle in the subgraph, starting at its smallest id, with that id again at the end; empty if there is none."""
        while True:  # peel off what merely follows or precedes a cycle
            dead = {n for n in among if not among & set(self.after[n]) or not among & set(self.before[n])}
            if not dead:
                break
            among = among - dead
        if not among:
            return []
        path = [min(among)]
        while True:
            step = min(n for n in self.after[path[-1]] if n in among)
            if step in path:
                loop = path[path.index(step) :]
                start = loop.index(min(loop))
                loop = loop[start:] + loop[:start]
                return [*loop, loop[0]]
            path.append(step)

    def _check_ends(self) -> None:
        for what, names in (("entry_nodes", self.pipeline.entry_nodes), ("output_nodes", self.pipeline.output_nodes)):
            seen: set[str] = set()
            for name in names:
                if name not in self.nodes:
                    self.problems.append(f"{what}: {unknown_name('node', name, sorted(self.nodes))}")
                elif name in seen:
                    self.problems.append(f"{what}: {_q(name)} is listed twice; remove one")
                seen.add(name)
        for name in dict.fromkeys(self.pipeline.entry_nodes):
            for before in self.before.get(name, ()):
                self.problems.append(f"entry node {_q(name)}: has the predecessor {_q(before)}; an entry node has none")
        for name, before_it in self.before.items():
            if not before_it and name not in self.pipeline.entry_nodes:
                self.problems.append(f"node {_q(name)}: has no predecessor but is not in entry_nodes; add it there")
        if not self.pipeline.output_nodes:
            self.problems.append("output_nodes: is empty; name at least one node whose result is written")
            return
        reaching = {name for name in self.pipeline.output_nodes if name in self.nodes}
        frontier = list(reaching)
        while frontier:
            for before in self.before[frontier.pop()]:
                if before not in reaching:
                    reaching.add(before)
                    frontier.append(before)
        for name in self.nodes:
            if name not in reaching:
                self.problems.append(f"node {_q(name)}: reaches no output node; add it to output_nodes or remove it")

    # --- tools and parameters ---

    def _specs(self) -> dict[str, ToolSpec]:
        specs: dict[str, ToolSpec] = {}
        for node in self.pipeline.nodes:
            try:
                spec = self.registry.tool(node.plugin_id, node.tool_id)
                _ = spec.signature, spec.params_model
                specs.setdefault(node.id, spec)
            except PluginError as error:
                self.problems.append(f"node {_q(node.id)}: {error.message}")
        return specs

    def _params(self, node: Node, spec: ToolSpec) -> dict[str, Any]:
        given = self._located(spec, node.params, self.loaded.folder)
        overrides = self.overrides.get(node.id, {})
        given |= self._located(spec, overrides, self.folder)
        try:
            params = spec.check_params(given)
        except ParamError as error:
            origin = ", set on the command line" if overrides else ""
            self._param_problem(f"node {_q(node.id)} ({node.plugin_id}.{node.tool_id}{origin}): {error.message}")
            return {}
        for name in spec.file_params():
            value = params[name]
            if isinstance(value, Path):
                try:
                    with open(value, "rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                    self.files[f"{node.id}.{name}"] = f"sha256:{digest}"
                except OSError as error:
                    inline = spec.inline(name)
                    hint = "" if inline is None or value.suffix else f"; {inline.hint}"
                    words = (
                        spec.folder_words(name, value)
                        if isinstance(error, IsADirectoryError)
                        else f"cannot be read: {error.strerror}"
                    )
                    self._param_problem(f"node {_q(node.id)}: param {name!r}: {printable(value)} {words}{hint}")
        return params

    def _param_problem(self, text: str) -> None:
        self.problems.append(text)
        self.param_problems.append(text)

    def _located(self, spec: ToolSpec, params: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Parameters with relative file names put below `folder`."""
        located = dict(params)
        for name in spec.file_params() & located.keys():
            if spec.names_file(name, located[name]):
                located[name] = folder / located[name]
        return located

    # --- binding ---

    def _bind(self, node_id: str, specs: Mapping[str, ToolSpec]) -> tuple[Binding, ...]:
        from videodag_cli.data import Frame

        node = self.nodes[node_id]
        spec = specs[node_id]
        if any(before not in specs for before in self.before[node_id]):
            return ()  # a broken predecessor is reported already
        offers = [
            (Source(before, position), kind)
            for before in self.before[node_id]
            for position, kind in enumerate(specs[before].signature.outputs)
        ]
        used: set[str] = set()
        bindings = []
        for parameter in spec.signature.inputs:
            fitting = [(source, kind) for source, kind in offers if parameter.accepts(kind)]
            if parameter.variadic:
                sources = tuple(source for source, _ in fitting)
                if not sources:
                    self._missing(node, parameter)
            else:
                chosen = self._choose(node, parameter, fitting, spec.signature.inputs)
                if chosen is None and Frame in parameter.types and not fitting:
                    chosen = DECODED
                if chosen is None and not fitting and not parameter.optional:
                    self._missing(node, parameter)
                sources = () if chosen is None else (chosen,)
            used.update(source.node for source in sources if source.node is not None)
            bindings.append(Binding(parameter, sources))
        self._check_used(node, spec, offers, used)
        return tuple(bindings)

    def _choose(
        self, node: Node, parameter: Input, fitting: Sequence[tuple[Source, Any]], siblings: Sequence[Input]
    ) -> Source | None:
        if not fitting:
            return None
        exact = [(source, kind) for source, kind in fitting if parameter.wants_exactly(kind)]
        candidates = exact or list(fitting)
        if len(candidates) > 1:
            named = [(source, kind) for source, kind in candidates if source.node == parameter.name]
            # a predecessor that a sibling parameter is named after belongs to that sibling
            others = {sibling.name for sibling in siblings if sibling is not parameter and not sibling.variadic}
            candidates = named or [c for c in candidates if c[0].node not in others] or candidates
        if len(candidates) > 1:
            names = " and ".join(_q(source.node or "") for source, _ in candidates)
            self.problems.append(
                f"node {_q(node.id)}: parameter {parameter.label!r} is ambiguous between {names}; "
                f"name one of these nodes {parameter.name!r} or remove an edge"
            )
            return candidates[0][0]
        return candidates[0][0]

    def _missing(self, node: Node, parameter: Input) -> None:
        wanted = " or ".join(type_name(kind) for kind in parameter.types)
        self.problems.append(
            f"node {_q(node.id)} ({node.plugin_id}.{node.tool_id}): parameter {parameter.name!r} has no input; "
            f"add an edge from a node that gives {wanted}"
        )

    def _check_used(self, node: Node, spec: ToolSpec, offers: Sequence[tuple[Source, Any]], used: set[str]) -> None:
        inputs = spec.signature.inputs
        for before in self.before[node.id]:
            if before in used:
                continue
            kinds = [kind for source, kind in offers if source.node == before]
            given = " and ".join(type_name(kind) for kind in kinds)
            edge = f"edge {printable(before)} -> {printable(node.id)}"
            if any(parameter.accepts(kind) for parameter in inputs for kind in kinds):
                self.problems.append(
                    f"{edge}: feeds nothing, every parameter is taken by another node; remove the edge"
                )
            else:
                takes = ", ".join(parameter.label for parameter in inputs)
                self.problems.append(
                    f"{edge}: type mismatch, {_q(before)} gives {given} but "
                    f"{node.plugin_id}.{node.tool_id} takes ({takes})"
                )

    def _check_outputs(self, specs: Mapping[str, ToolSpec]) -> None:
        for name in dict.fromkeys(self.pipeline.output_nodes):
            if name not in specs:
                continue
            for kind in specs[name].signature.outputs:
                if not json_form(kind):
                    self.problems.append(
                        f"output node {_q(name)}: gives {type_name(kind)}, which has no JSON form; "
                        "name a node that measures or detects something, or give the type a base that has one"
                    )


def _q(name: str) -> str:
    return repr(printable(name, limit=80))
