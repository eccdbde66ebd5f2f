"""`@tool`: from a function's or class's signature to a description the planner and the engine can use.

Positional parameters are data, keyword-only parameters are configuration, the return type is the output. A function is stateless, a
class holds state. The decorator attaches a `ToolSpec` and returns its target unchanged; annotations are resolved when the
specification is first asked for more than its name.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, overload

from videodag_cli.errors import ParamError, PluginError, printable

if typing.TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")
SPEC_ATTRIBUTE = "__videodag_tool__"
_BARE = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, object, type(None))


_Mark = TypeVar("_Mark")


@dataclass(frozen=True)
class Inline:
    """In an annotation with `Path`: text for which `is_value` holds is the value itself and names no file."""

    is_value: Callable[[str], bool]
    hint: str
    """What to write where text was meant as a value and was read as a file's name."""


@dataclass(frozen=True)
class FolderWords:
    """In an annotation with `Path`: what to say of a folder that is named in place of the file, behind its name."""

    of: Callable[[Path], str]


@dataclass(frozen=True)
class Input:
    """One data parameter of a tool."""

    name: str
    types: tuple[Any, ...]
    """The types that fit; several for `A | B`."""
    optional: bool = False
    """`X | None`: the tool runs without it."""
    variadic: bool = False
    """`*xs: T`: takes every match."""

    @property
    def label(self) -> str:
        text = " | ".join(type_name(t) for t in self.types)
        if self.optional:
            text += " | None"
        return f"*{self.name}: {text}" if self.variadic else f"{self.name}: {text}"

    def accepts(self, produced: object) -> bool:
        return any(is_subtype(produced, wanted) for wanted in self.types)

    def wants_exactly(self, produced: object) -> bool:
        return any(produced is wanted for wanted in self.types)


@dataclass(frozen=True)
class Signature:
    """What a tool's annotations say."""

    inputs: tuple[Input, ...]
    outputs: tuple[Any, ...]
    wants_video: bool
    """The class's `__init__` takes a `VideoInfo`."""
    params: dict[str, tuple[Any, Any]]
    """name -> (annotation, default); a missing default is `inspect.Parameter.empty`."""


@dataclass(frozen=True)
class ToolSpec:
    """A tool's description. `signature` and `params_model` raise `PluginError` when the author's annotations do not hold up."""

    id: str
    target: Callable[..., Any]
    version: int = 1
    stateless: bool = True
    batch_size: int = 1
    requires: str | None = None
    any_size: bool | None = None
    cache: bool = False
    """Results are worth keeping; calls are independent."""
    pixels: bool = True
    """Frames are given with their pictures; without, they tell their moment and their size."""
    local_names: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_class(self) -> bool:
        return isinstance(self.target, type)

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.target) or ""

    @property
    def takes_any_size(self) -> bool:
        """Whether frames may have another size than the video; by default where calls are independent and know no size."""
        if self.any_size is not None:
            return self.any_size
        return self.stateless and not self.signature.wants_video

    @property
    def has_checkpoint(self) -> bool:
        """Whether the state can be saved and restored."""
        return hasattr(self.target, "state") and hasattr(self.target, "restore")

    @cached_property
    def signature(self) -> Signature:
        return _read_signature(self)

    @cached_property
    def params_model(self) -> type[BaseModel]:
        """A pydantic model of the keyword-only parameters; unknown names are errors."""
        from pydantic import ConfigDict, PydanticUserError, create_model

        fields: dict[str, Any] = {
            name: (annotation, ... if default is inspect.Parameter.empty else default)
            for name, (annotation, default) in self.signature.params.items()
        }
        try:
            return create_model(
                f"{self.id}_params",
                __config__=ConfigDict(extra="forbid", frozen=True, validate_default=True, protected_namespaces=()),
                **fields,
            )
        except (PydanticUserError, NameError, TypeError) as error:
            raise PluginError(
                f"tool {self.id!r}: its parameters cannot be described: {printable(error, limit=200)}",
                word="plugin.broken",
            ) from error

    def check_params(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The full set of parameter values, checked, defaults filled in; `ParamError` lists every problem."""
        from pydantic import ValidationError

        try:
            model = self.params_model.model_validate(dict(given))
        except ValidationError as error:
            raise ParamError("; ".join(_explain(e, self) for e in error.errors(include_url=False))) from error
        return {name: getattr(model, name) for name in self.signature.params}

    def parse_text(self, name: str, text: str) -> Any:
        """A value from the command line: as the parameter's type first, then as JSON. Returns what `check_params` takes."""
        from pydantic import TypeAdapter, ValidationError

        if name not in self.signature.params:
            return text
        annotation = self.signature.params[name][0]
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        could_be_file = text.startswith(("[", "{")) and name in self.file_params()
        if not could_be_file:  # nearly any text is a valid path, so a list or an object counts first there
            with contextlib.suppress(ValidationError):
                adapter.validate_python(text)
                return text
        try:
            return _json_value(text)
        except ValueError:
            return text

    def file_params(self) -> frozenset[str]:
        """Names of parameters that may be files: those with `Path` in their annotation."""
        return frozenset(n for n, (a, _) in self.signature.params.items() if _mentions(a, Path))

    def names_file(self, name: str, value: Any) -> bool:
        """Whether a value of a parameter that may be a file is a file's name, and not one of its other values."""
        if not isinstance(value, Path | str) or not value or str(value) in self.choices(name):
            return False
        inline = self.inline(name)
        return inline is None or not inline.is_value(str(value))

    def inline(self, name: str) -> Inline | None:
        """What a parameter says about values that are written where a file's name could be."""
        return self._marked(name, Inline)

    def folder_words(self, name: str, folder: Path) -> str:
        """What to say of a folder in place of a file, behind its name."""
        found = self._marked(name, FolderWords)
        return "is a folder; name a file" if found is None else found.of(folder)

    def _marked(self, name: str, kind: type[_Mark]) -> _Mark | None:
        metadata = getattr(self.signature.params[name][0], "__metadata__", ())
        return next((entry for entry in metadata if isinstance(entry, kind)), None)

    def choices(self, name: str) -> frozenset[str]:
        """Literal values that a parameter takes besides anything else."""
        return frozenset(_literals(self.signature.params[name][0]))


def _json_value(text: str) -> Any:
    import orjson

    return orjson.loads(text)


def _explain(error: Any, spec: ToolSpec) -> str:
    """One pydantic error as a sentence with the parameter's path."""
    place = ".".join(str(p) for p in error["loc"]) or "params"
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        known = sorted(spec.signature.params)
        return unknown_name("param", place, known)
    message = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    shown = printable(repr(str(given) if isinstance(given, Path) else given), limit=60)
    return f"param {place!r}: {message[:1].lower()}{message[1:]}, got {shown}"


def unknown_name(kind: str, name: str, known: Sequence[str]) -> str:
    """`unknown param 'confidnce'; did you mean 'confidence'? known: ...`"""
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listing = f" known: {', '.join(known)}" if known else f" there are no {kind}s"
    return f"unknown {kind} {printable(name, limit=80)!r}{hint}{';' if not hint else ''}{listing}"


@overload
def tool(target: T, /) -> T: ...
@overload
def tool(
    *,
    version: int = 1,
    stateless: bool = False,
    batch_size: int = 1,
    requires: str | None = None,
    any_size: bool | None = None,
    cache: bool = False,
    pixels: bool = True,
    id: str | None = None,
) -> Callable[[T], T]: ...
def tool(
    target: Any = None,
    /,
    *,
    version: int = 1,
    stateless: bool = False,
    batch_size: int = 1,
    requires: str | None = None,
    any_size: bool | None = None,
    cache: bool = False,
    pixels: bool = True,
    id: str | None = None,
) -> Any:
    """Mark a function or class as a tool.

    version: raise it when results change; finished outputs of an older version no longer count as up to date.
    stateless: for a class whose calls do not depend on each other (a function always is).
    batch_size: parameters and result are lists of up to this many; an instance attribute of the same name overrides it.
    requires: the extra whose packages the tool needs when it runs; import them inside the function or in `__init__`.
    any_size: whether frames may differ in size from the video and from each other. By default they may where calls do not depend on
        each other and the class asks for no `VideoInfo`; a frame of another size fails at any other node.
    cache: its results are kept where a cache is given, because calls take long; only where they do not depend on each other.
    pixels: false for a tool that uses nothing but a frame's time, index, size and place: it gets frames without a picture, and needs no
        decoding. An instance attribute `reads_pixels` overrides it.
    id: the tool's id where it should differ from the name (a class `FreezeTime` is `freeze_time`).
    """
    frame = sys._getframe(1)
    local_names = {} if frame.f_locals is frame.f_globals else dict(frame.f_locals)

    def attach(found: Any) -> Any:
        if not (inspect.isfunction(found) or inspect.isclass(found)):
            raise TypeError(f"@tool decorates a function or a class, not {type(found).__name__}")
        if cache and inspect.isclass(found) and not stateless:
            raise TypeError("@tool(cache=True) is for functions and for classes with stateless=True")
        spec = ToolSpec(
            id=id or snake_case(found.__name__),
            target=found,
            version=version,
            stateless=stateless or not inspect.isclass(found),
            batch_size=batch_size,
            requires=requires,
            any_size=any_size,
            cache=cache,
            pixels=pixels,
            local_names=local_names,
        )
        setattr(found, SPEC_ATTRIBUTE, spec)
        return found

    return attach if target is None else attach(target)


def spec_of(target: object) -> ToolSpec | None:
    """The specification that `@tool` left on `target` itself (a subclass does not inherit it)."""
    found = getattr(target, "__dict__", {}).get(SPEC_ATTRIBUTE)
    return found if isinstance(found, ToolSpec) else None


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def type_name(kind: Any) -> str:
    """`Detections` -> `detections`: how a type is called in messages and results."""
    return snake_case(getattr(kind, "__name__", str(kind)))


def is_subtype(produced: Any, wanted: Any) -> bool:
    """Identity, subclass, or a NewType over something that fits."""
    if produced is wanted:
        return True
    if isinstance(produced, typing.NewType):
        return is_subtype(produced.__supertype__, wanted)
    return isinstance(produced, type) and isinstance(wanted, type) and issubclass(produced, wanted)


def runtime_type(kind: Any) -> type:
    """The class whose instances a value of this type is."""
    while isinstance(kind, typing.NewType):
        kind = kind.__supertype__
    origin = typing.get_origin(kind) or kind
    if typing.is_typeddict(origin):
        return dict
    return origin if isinstance(origin, type) else object


def _read_signature(spec: ToolSpec) -> Signature:
    from videodag_cli.data import VideoInfo

    params: dict[str, tuple[Any, Any]] = {}
    inputs: list[Input] = []
    wants_video = False
    if isinstance(spec.target, type):
        call: Any = inspect.getattr_static(spec.target, "__call__", None)
        if not inspect.isfunction(call):
            raise _broken(spec, "a tool class needs a method __call__(self, ...)")
        init: Any = inspect.getattr_static(spec.target, "__init__")
        if inspect.isfunction(init):
            hints = _hints(spec, init)
            for parameter in list(inspect.signature(init).parameters.values())[1:]:
                annotation = _annotation(spec, hints, parameter)
                if parameter.kind is parameter.KEYWORD_ONLY:
                    params[parameter.name] = (annotation, parameter.default)
                elif annotation is VideoInfo:
                    wants_video = True
                else:
                    raise _broken(
                        spec,
                        f"__init__ parameter {parameter.name!r} is positional; put configuration after `*`, "
                        "only `video: VideoInfo` comes before it",
                    )
    else:
        call = spec.target
    hints = _hints(spec, call)
    parameters = list(inspect.signature(call).parameters.values())
    for parameter in parameters[1:] if spec.is_class else parameters:
        annotation = _annotation(spec, hints, parameter)
        if parameter.kind is parameter.KEYWORD_ONLY:
            if spec.is_class:
                raise _broken(spec, f"parameter {parameter.name!r}: a class takes configuration in __init__")
            params[parameter.name] = (annotation, parameter.default)
        elif parameter.kind is parameter.VAR_KEYWORD:
            raise _broken(spec, f"**{parameter.name} is not supported; name each parameter")
        elif annotation is VideoInfo:
            raise _broken(spec, "VideoInfo is given to a class's __init__; make this tool a class")
        else:
            inputs.append(_input(spec, parameter, annotation))
    if "return" not in hints:
        raise _broken(spec, "the return type is not annotated; it names the tool's output")
    outputs = _outputs(spec, hints["return"])
    return Signature(tuple(inputs), outputs, wants_video, params)


def _hints(spec: ToolSpec, function: Any) -> dict[str, Any]:
    """Type hints, looked up in the module's globals and then in what was local where the decorator stood."""
    names = {**getattr(function, "__globals__", {}), **spec.local_names}
    raw = dict(getattr(function, "__annotations__", {}))
    hints: dict[str, Any] = {}
    for name, annotation in raw.items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints.update(typing.get_type_hints(holder, names, names, include_extras=True))
        except Exception as error:
            what = "the return type" if name == "return" else f"parameter {name!r}"
            raise _broken(
                spec, f"the annotation of {what} cannot be resolved: {printable(error, limit=200)}"
            ) from error
    return hints


def _annotation(spec: ToolSpec, hints: dict[str, Any], parameter: inspect.Parameter) -> Any:
    if parameter.name not in hints:
        raise _broken(spec, f"parameter {parameter.name!r} has no annotation")
    return hints[parameter.name]


def _input(spec: ToolSpec, parameter: inspect.Parameter, annotation: Any) -> Input:
    where = f"parameter {parameter.name!r}"
    if spec.batch_size > 1:
        annotation = _unlisted(spec, where, annotation)
    options, optional = _options(annotation)
    if parameter.default is not inspect.Parameter.empty and not optional:
        raise _broken(spec, f"{where} is data with a default; write `X | None` for an optional input")
    for option in options:
        _require_named(spec, where, option)
    return Input(parameter.name, options, optional=optional, variadic=parameter.kind is parameter.VAR_POSITIONAL)


def _outputs(spec: ToolSpec, annotation: Any) -> tuple[Any, ...]:
    if spec.batch_size > 1:
        annotation = _unlisted(spec, "the return type", annotation)
    if typing.get_origin(annotation) is tuple:
        outputs = typing.get_args(annotation)
        if Ellipsis in outputs or not outputs:
            raise _broken(spec, "the return type must name each output: tuple[A, B]")
    else:
        outputs = (annotation,)
    for output in outputs:
        _require_named(spec, "the return type", output)
    if len({type_name(o) for o in outputs}) != len(outputs):
        raise _broken(spec, "two outputs have the same type name; give one a NewType of its own")
    return tuple(outputs)


def _unlisted(spec: ToolSpec, where: str, annotation: Any) -> Any:
    if typing.get_origin(annotation) in (list, Sequence):
        return typing.get_args(annotation)[0]
    raise _broken(spec, f"{where}: a batch tool takes and returns lists, such as list[Frame]")


def _options(annotation: Any) -> tuple[tuple[Any, ...], bool]:
    """`A | B | None` -> ((A, B), True)."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = typing.get_args(annotation)
        return tuple(m for m in members if m is not type(None)), type(None) in members
    return (annotation,), False


def _require_named(spec: ToolSpec, where: str, kind: Any) -> None:
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    if kind in _BARE or typing.get_origin(kind) in _BARE or kind is Any:
        shown = getattr(kind, "__name__", str(kind))
        raise _broken(
            spec,
            f"{where} is a bare {shown}, which says nothing about its meaning; give it a name, such as "
            f'Sharpness = NewType("Sharpness", {shown if kind in _BARE else "float"}), or use a dataclass',
        )
    if not isinstance(kind, type | typing.NewType):
        raise _broken(spec, f"{where}: {kind} is not a class or NewType")


def _broken(spec: ToolSpec, problem: str) -> PluginError:
    where = f"{spec.target.__module__}.{spec.target.__qualname__}"
    return PluginError(f"tool {spec.id!r} ({printable(where)}): {problem}", word="plugin.broken")


def _mentions(annotation: Any, wanted: type) -> bool:
    if annotation is wanted:
        return True
    return any(_mentions(a, wanted) for a in typing.get_args(annotation) if a is not annotation)


def _literals(annotation: Any) -> list[str]:
    if typing.get_origin(annotation) is Literal:
        return [a for a in typing.get_args(annotation) if isinstance(a, str)]
    return [text for a in typing.get_args(annotation) for text in _literals(a)]
