"""Calls that several plans over the same frames have in common: made once, by whichever engine comes to them first."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from videodag_cli.graph.plan import Plan, Step
from videodag_cli.lines import NodeFailure


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call."""

    value: tuple[Any, ...] | NodeFailure | None
    """Values in the source frame's coordinates, or a failure; None where it was not made."""
    counted: bool
    """The call is one of those that timings are about."""


class SharedCall:
    """A node that stands alike in several plans.

    A call that was claimed is made before its engine waits for anybody else's, so no two engines wait for each other.
    """

    def __init__(self, users: int) -> None:
        self._users = users
        self._lock = threading.Lock()
        self._open: dict[int, tuple[Future[Outcome], int]] = {}
        self.instances: list[Any] = []
        """Of the tool, in all engines: together they have seen every frame."""

    def claim(self, frame_index: int) -> tuple[Future[Outcome], bool]:
        """Where the outcome for a frame is to be had, and whether the caller has to make the call and say what came of it."""
        with self._lock:
            found = self._open.get(frame_index)
            if found is None:
                future: Future[Outcome] = Future()
                if self._users > 1:
                    self._open[frame_index] = future, self._users - 1
                return future, True
            future, left = found
            if left > 1:
                self._open[frame_index] = future, left - 1
            else:
                del self._open[frame_index]
            return future, False

    def end(self) -> None:
        """Share nothing any more, because one of the engines has stopped and would never fetch what is kept for it."""
        with self._lock:
            self._users = 1
            self._open.clear()


def shared_calls(plans: Sequence[Plan]) -> list[dict[str, SharedCall]]:
    """For each plan its nodes whose calls others make as well: stateless, alike, and fed alike."""
    firsts: list[tuple[Plan, Step, tuple[int, ...]]] = []
    users: list[list[tuple[int, str]]] = []
    for number, plan in enumerate(plans):
        kinds: dict[str, int] = {}
        for step in plan.steps:
            if not step.spec.stateless or not kinds.keys() >= set(step.predecessors):
                continue
            fed = tuple(kinds[name] for name in step.predecessors)
            kind = next(
                (n for n, (first, like, by) in enumerate(firsts) if by == fed and _are_alike(first, like, plan, step)),
                len(firsts),
            )
            if kind == len(firsts):
                firsts.append((plan, step, fed))
                users.append([])
            kinds[step.id] = kind
            users[kind].append((number, step.id))
    found: list[dict[str, SharedCall]] = [{} for _ in plans]
    for having in users:
        if len(having) > 1:
            call = SharedCall(len(having))
            for number, name in having:
                found[number][name] = call
    return found


def _are_alike(one: Plan, first: Step, other: Plan, second: Step) -> bool:
    """The same tool with the same params, under the same name: failures name the node, and it seeds what is random."""
    return (
        (first.id, first.tool_name, first.bindings) == (second.id, second.tool_name, second.bindings)
        and first.spec.target is second.spec.target
        and first.params == second.params
        and _files(one, first) == _files(other, second)
    )


def _files(plan: Plan, step: Step) -> dict[str, str]:
    return {name: digest for name, digest in plan.files.items() if name.startswith(f"{step.id}.")}
