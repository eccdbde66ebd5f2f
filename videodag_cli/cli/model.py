"""`videodag model`: what an ONNX file is taken for, and what it finds in one frame."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videodag_cli.cli.shared_options import AsJson

if TYPE_CHECKING:
    from videodag_cli.graph.plugins import Registry
    from videodag_cli.lines import FrameResult
    from videodag_cli.vision.onnx.description import ModelDescription

NODE, PIPELINE = "detect", "objects"


def model(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An ONNX file, people or vehicles.", show_default=False)],
    labels: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Names of classes: cat,dog, a file, coco or coco91."),
    ] = None,
    layout: Annotated[str | None, typer.Option(metavar="LAYOUT", help="Read the outputs as this layout.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PARAM=VALUE", help="Any other param of detect.objects."),
    ] = None,
    try_: Annotated[
        Path | None,
        typer.Option("--try", metavar="CLIP|PICTURE", help="Print what is found in one frame, as a line."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="With --try: from here on the first frame: 3.5, 00:01:40 or 120f."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what an ONNX file is read as, and why: layout, input, classes; with --try, what it finds in one frame."""

    from videodag_cli.cli import streams
    from videodag_cli.errors import IncompleteError, RequestError, printable, told
    from videodag_cli.graph.plugins import Registry

    if at is not None and try_ is None:
        raise RequestError("--at needs --try CLIP")
    given = _given(file, labels, layout, set_ or [])
    registry = Registry()
    description, params = _taken_for(given, registry)
    tried = None if try_ is None else _tried(try_, at, registry, params)
    assignments = [f"{NODE}.{name}={value}" for name, value in given.items()]
    if as_json:
        document: dict[str, Any] = {"model": description.model_dump(mode="json"), "set": assignments}
        if tried is not None:
            document |= {"line": tried[0].as_json(), "remarks": tried[1]}
        streams.print_json(document)
    else:
        screen = "\n".join(_screen(file, description, assignments))
        if tried is None:
            typer.echo(screen)
        else:
            streams.say(screen)
            for remark in tried[1]:
                streams.say(f"note: {remark}")
            typer.echo(tried[0].line().decode(), nl=False)
    if tried is not None and tried[0].failure is not None:
        failure = tried[0].failure
        raise IncompleteError(f"{printable(file)}: {told(failure.type, failure.message)}")


def _given(file: str, labels: str | None, layout: str | None, assignments: list[str]) -> dict[str, str]:
    """Param -> text, in the order in which they are shown."""
    from videodag_cli.errors import RequestError, printable

    given = {"model": file}
    for name, value in (("labels", labels), ("layout", layout)):
        if value is not None:
            given[name] = value
    for text in assignments:
        name, equals, value = text.removeprefix(f"{NODE}.").partition("=")
        if not equals or not name:
            raise RequestError(f"--set {printable(text)!r}: give PARAM=VALUE, such as size=640")
        if name in given:
            raise RequestError(f"--set {printable(text)!r}: {printable(name)} is given already")
        given[name] = value
    return given


def _taken_for(given: dict[str, str], registry: Registry) -> tuple[ModelDescription, dict[str, Any]]:
    """The description of the model as the tool opens it, and the params as a pipeline would have them."""
    spec = registry.tool("detect", "objects")
    params = {name: spec.parse_text(name, text) for name, text in given.items()}
    tool = spec.target(**spec.check_params(params))
    return tool.description, params


def _tried(
    source: Path, at: str | None, registry: Registry, params: dict[str, Any]
) -> tuple[FrameResult, tuple[str, ...]]:
    """What the pipeline says about one frame, and what its tools remark."""
    from videodag_cli.data import Frame, VideoInfo
    from videodag_cli.engine.engine import Engine
    from videodag_cli.errors import InputError, RequestError, printable
    from videodag_cli.graph.pipeline import find_pipeline, load_pipeline, search_places
    from videodag_cli.graph.plan import make_plan
    from videodag_cli.video.opening import open_reader
    from videodag_cli.video.probing import probe
    from videodag_cli.video.sampling import Sampling, parse_position, select
    from videodag_cli.video.still import read_picture

    loaded = load_pipeline(find_pipeline(f"builtin:{PIPELINE}", search_places(())).path)
    plan = make_plan(loaded, registry, overrides={NODE: params})
    image = read_picture(source)
    if image is not None:
        if at is not None:
            raise RequestError(f"--at: {printable(source)} is a picture and has no times")
        with Engine(plan, VideoInfo(width=image.shape[1], height=image.shape[0])) as engine:
            (result,) = engine.run([Frame.from_image(image)])
            return result, tuple(engine.remarks())
    found = probe(source)
    targets = select(found.index, Sampling(start=None if at is None else parse_position(at), max_frames=1))
    if not len(targets):
        raise InputError(f"{printable(source)}: has no frame from {at} on", word="input.no_frames")
    with open_reader(found, targets) as reader, Engine(plan, found.info) as engine:
        results = list(engine.run(reader))
        if not results:
            raise InputError(f"{printable(source)}: the frame could not be decoded", word="input.no_frames")
        return results[0], tuple(engine.remarks())


def _screen(file: str, description: ModelDescription, assignments: list[str]) -> list[str]:
    from videodag_cli.errors import printable

    lines = [f"{printable(file)}  sha256 {description.sha256[:16]}"]
    before = ""
    for name, text in description.sentences():
        lines.append(f"  {'' if name == before else name:<13}{text}")
        before = name
    if description.labels_from == "numbers":
        lines.append("  ! the classes have no names; give them with --labels cat,dog or --labels data.yaml")
    options = " ".join(f"--set {shlex.quote(text)}" for text in assignments)
    lines.append(f"videodag run -p {PIPELINE} {options} clip.mp4")
    return lines
