"""What networks may run on, by the names that people use, and how to install what is missing."""

from __future__ import annotations

from typing import Literal, NamedTuple

Device = Literal["cpu", "cuda", "coreml", "openvino", "auto"]


class Accelerator(NamedTuple):
    provider: str
    install: str


ACCELERATORS: dict[str, Accelerator] = {
    "cuda": Accelerator("CUDAExecutionProvider", "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"),
    "coreml": Accelerator(
        "CoreMLExecutionProvider", "on macOS, pip install onnxruntime has it; elsewhere there is none"
    ),
    "openvino": Accelerator(
        "OpenVINOExecutionProvider", "pip uninstall -y onnxruntime && pip install onnxruntime-openvino"
    ),
}
"""In the order in which `auto` takes them."""


def missing(provider: str, installed: list[str]) -> str:
    """That a provider is not installed, and what would change it."""
    from videodag_cli.errors import printable

    install = next((kind.install for kind in ACCELERATORS.values() if kind.provider == provider), "")
    shown = f"provider {printable(provider, limit=60)!r} is not in this onnxruntime; installed: {', '.join(installed)}"
    return f"{shown}; to install it: {install}" if install else shown
