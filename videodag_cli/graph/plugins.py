"""From installed packages and local files to tools by name.

A plugin is an entry point in the group `videodag.plugins` (name = plugin id, value = a module whose decorated objects are its
tools), or a file `<plugin id>.py` in a folder the user names. The built-in tools use the same door. Plugins are loaded when first
asked for, so a run imports what its pipeline names and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType

from videodag_cli.errors import MissingExtraError, PluginError, StopSignal, printable
from videodag_cli.system.installed import installed_version, name_and_version
from videodag_cli.toolspec import ToolSpec, spec_of, unknown_name

GROUP = "videodag.plugins"
FOLDERS = "VIDEODAG_PLUGINS"
"""The environment variable with folders of local files."""


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin."""

    id: str
    source: str
    """`videodag 0.1.0` for a package, the path for a local file."""
    tools: Mapping[str, ToolSpec]
    distribution: str | None = None
    digest: str | None = None
    """`sha256:...` of a local file; packages count by their tools' versions."""


class Registry:
    """All plugins that can be had, each loaded once when asked for. Local files hide packages of the same id."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._files: dict[str, Path] = {}
        self._loaded: dict[str, Plugin | PluginError] = {}
        self.hidden: list[str] = []
        """Sentences about plugins that another one of the same id hides."""
        self.folders = tuple(Path(folder).absolute() for folder in folders)
        """Where local files are looked for."""
        for folder in self.folders:
            self._add_folder(folder)
        self._entry_points = {point.name: point for point in metadata.entry_points(group=GROUP)}
        for plugin_id in self._files.keys() & self._entry_points.keys():
            point = self._entry_points[plugin_id]
            self.hidden.append(f"plugin {plugin_id!r}: {printable(self._files[plugin_id])} hides {point.value}")

    def _add_folder(self, folder: Path) -> None:
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            raise PluginError(f"plugins folder {printable(folder)}: {error.strerror}") from error
        for name in names:
            if not name.endswith(".py") or name.startswith(("_", ".")):
                continue
            path = (folder / name).resolve()
            first = self._files.setdefault(path.stem, path)
            if first != path:
                self.hidden.append(f"plugin {path.stem!r}: {printable(first)} hides {printable(path)}")

    @property
    def ids(self) -> list[str]:
        return sorted(self._files.keys() | self._entry_points.keys())

    def plugin(self, plugin_id: str) -> Plugin:
        """The plugin of that id. Raises `PluginError`: unknown, or broken with its cause."""
        if plugin_id not in self._loaded:
            self._loaded[plugin_id] = self._load(plugin_id)
        found = self._loaded[plugin_id]
        if isinstance(found, PluginError):
            raise found
        return found

    def tool(self, plugin_id: str, tool_id: str) -> ToolSpec:
        """The tool of that name. Raises `PluginError` with the nearest names."""
        plugin = self.plugin(plugin_id)
        if tool_id not in plugin.tools:
            raise PluginError(
                f"plugin {printable(plugin_id)!r}: " + unknown_name("tool", tool_id, sorted(plugin.tools))
            )
        return plugin.tools[tool_id]

    def all(self) -> tuple[list[Plugin], list[PluginError]]:
        """Every plugin that loads, and what is wrong with each that does not."""
        plugins, problems = [], []
        for plugin_id in self.ids:
            try:
                plugins.append(self.plugin(plugin_id))
            except PluginError as error:
                problems.append(error)
        return plugins, problems

    def require(self, plugin_id: str, spec: ToolSpec) -> None:
        """Raise `MissingExtraError` if packages of the extra that the tool requires are not installed."""
        if spec.requires is None:
            return
        distribution = self.plugin(plugin_id).distribution
        if distribution and _missing_packages(distribution, spec.requires):
            raise MissingExtraError(f"tool {plugin_id}.{spec.id}", spec.requires, distribution=distribution)

    def _load(self, plugin_id: str) -> Plugin | PluginError:
        path = self._files.get(plugin_id)
        point = self._entry_points.get(plugin_id)
        if path is None and point is None:
            return PluginError(unknown_name("plugin", plugin_id, self.ids))
        source = printable(path) if path else point.value if point else ""
        digest, distribution = None, None
        try:
            with contextlib.redirect_stdout(sys.stderr):  # standard output is for data, whatever a plugin prints
                if path is not None:
                    digest = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
                    module = _import_file(plugin_id, path)
                else:
                    assert point is not None
                    module = importlib.import_module(point.module)
                    if point.dist is not None:
                        distribution, version = name_and_version(point.dist)
                        source = f"{distribution} {version}"
            return Plugin(plugin_id, source, _tools_of(module), distribution, digest)
        except (KeyboardInterrupt, StopSignal):
            raise
        except BaseException as error:  # a plugin may raise anything at import, SystemExit included
            cause = f"{type(error).__name__}: {printable(error, limit=300)}"
            return PluginError(
                f"plugin {printable(plugin_id)!r} ({source}) cannot be loaded: {cause}", word="plugin.broken"
            )


def make_registry(folders: Iterable[Path] | None = None) -> Registry:
    """Tools of these folders, then of those in `VIDEODAG_PLUGINS`, then of installed packages."""
    named = [Path(entry) for entry in os.environ.get(FOLDERS, "").split(os.pathsep) if entry]
    return Registry([*(folders or ()), *named])


def _import_file(plugin_id: str, path: Path) -> ModuleType:
    name = f"videodag_local_plugins.{plugin_id}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not importable")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _tools_of(module: ModuleType) -> dict[str, ToolSpec]:
    tools: dict[str, ToolSpec] = {}
    for value in vars(module).values():
        spec = spec_of(value)
        if spec is None:
            continue
        other = tools.setdefault(spec.id, spec)
        if other is not spec:
            raise ValueError(f"two tools have the id {spec.id!r}")
    if not tools:
        raise ValueError("it contains no tools; decorate a function or class with @tool")
    return tools


def _missing_packages(distribution: str, extra: str) -> list[str]:
    """Packages that `distribution[extra]` asks for and that are not installed."""
    missing = []
    for requirement in metadata.requires(distribution) or []:
        name, _, marker = requirement.partition(";")
        if not re.search(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]", marker):
            continue
        match = re.match(r"[A-Za-z0-9._-]+", name.strip())
        if match is None or match.group().lower() == distribution.lower():
            continue
        if installed_version(match.group()) is None:
            missing.append(match.group())
    return missing
