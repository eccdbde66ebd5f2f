"""`--device`: what the networks of a pipeline run on, as the param `provider` of their nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videodag_cli.graph.pipeline import Pipeline
    from videodag_cli.graph.plugins import Registry
    from videodag_cli.vision.onnx.devices import Device


def put_on_device(
    pipelines: Sequence[Pipeline], registry: Registry, given: list[dict[str, dict[str, Any]]], device: Device
) -> None:
    """Add the device's provider to what is given for each node that runs a network and does not name one itself.

    Raises `ParamError` where it is not installed, `RequestError` where no node runs a network.
    """
    from videodag_cli.errors import PluginError, RequestError
    from videodag_cli.vision.onnx.session import provider_of

    nodes = 0
    provider = provider_of(device)
    for pipeline, values in zip(pipelines, given, strict=True):
        for node in pipeline.nodes:
            try:
                spec = registry.tool(node.plugin_id, node.tool_id)
                known = "provider" in spec.params_model.model_fields
            except PluginError:
                continue  # the planner says what is wrong with it
            if known:
                nodes += 1
                if "provider" not in (node.params or {}):
                    values.setdefault(node.id, {}).setdefault("provider", provider)
    if not nodes:
        raise RequestError(f"--device {device}: no node of this pipeline runs a network that could use it")
