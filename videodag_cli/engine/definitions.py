"""What decides the results of a node: its tool, its params, what feeds it, the packages and the kind of CPU, as a key."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from videodag_cli import __version__
from videodag_cli.data import Frame, VideoInfo
from videodag_cli.engine.cache_folder import digest_of
from videodag_cli.graph.plan import Plan, Step

FORMAT = 1
"""Raised when values are kept in another form."""


@dataclass(frozen=True)
class Definition:
    """Of a node whose results can be kept."""

    key: str
    by_inputs: bool
    """Results belong to a frame and the values that the node was given, because these depend on the frames before."""


def definitions(plan: Plan, video: VideoInfo, video_key: str) -> tuple[dict[str, Definition], dict[str, str]]:
    """The nodes whose results can be kept; and the key of every node that depends on nothing but the frame.

    video_key: of the input and how it is decoded.
    """
    kept: dict[str, Definition] = {}
    keys: dict[str, str] = {}
    for step in plan.steps:
        if not step.spec.stateless:
            continue
        fed: list[Any] = []
        by_inputs = False
        for binding in step.bindings:
            sources: list[Any] = []
            for source in binding.sources:
                known = "frame" if source.node is None else keys.get(source.node)
                if known is None:
                    by_inputs = True
                    kind = plan.by_id[source.node or ""].spec.signature.outputs[source.output]
                    if _is_frame(kind):
                        sources = []
                        break
                sources.append([known, source.output])
            if len(sources) != len(binding.sources):
                break
            fed.append([binding.input.name, sources])
        else:
            key = digest_of(FORMAT, video_key, surroundings(), _own(step, plan, video), fed)
            if not by_inputs:
                keys[step.id] = key
            if step.spec.cache:
                kept[step.id] = Definition(key, by_inputs)
    return kept, keys


def _is_frame(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Frame)


def _own(step: Step, plan: Plan, video: VideoInfo) -> dict[str, Any]:
    spec = step.spec
    params = spec.params_model.model_construct(**step.params).model_dump(mode="json")
    for name in params:
        digest = plan.files.get(f"{step.id}.{name}")
        if digest is not None:
            params[name] = [Path(step.params[name]).name, digest]
    plugin = plan.registry.plugin(step.node.plugin_id)
    return {
        "node": step.id,  # seeds what is random
        "tool": step.tool_name,
        "version": spec.version,
        "params": params,
        "plugin": plugin.digest or plugin.source,
        "code": _code(spec.target.__module__),
        "models": _shipped_models() if plugin.distribution == "videodag" else [],
        "video": repr(video) if spec.signature.wants_video else None,
    }


@cache
def _code(module: str) -> str:
    """The digest of the file that defines a tool; packages may be edited in place."""
    try:
        return hashlib.blake2b(Path(sys.modules[module].__file__ or "").read_bytes(), digest_size=16).hexdigest()
    except (KeyError, OSError, AttributeError):
        return ""


@cache
def _shipped_models() -> list[list[Any]]:
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(Path(__file__).parent.parent / "models"):
            stat = entry.stat()
            found.append([entry.name, stat.st_size, stat.st_mtime_ns])
    return sorted(found)


@cache
def surroundings() -> str:
    """The digest of Python, every installed package with its version, and the kind of CPU."""
    packages: set[str] = set()
    for place in dict.fromkeys(sys.path):
        with contextlib.suppress(OSError):
            packages.update(n for n in os.listdir(place or ".") if n.endswith((".dist-info", ".egg-info")))
    return digest_of(__version__, sys.version, platform.platform(), _cpu(), sorted(packages))


def _cpu() -> list[str]:
    kind = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith(("model name", "flags", "Features", "CPU implementer", "CPU part")):
                kind.append(line)
            elif not line.strip():
                break
    return kind
