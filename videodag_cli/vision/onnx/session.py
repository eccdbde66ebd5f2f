"""Sessions of onnxruntime: one per model, provider and thread count, shared by every tool and thread of the process.

`InferenceSession.run` may be called from several threads at once. Each session computes on one thread of its own caller, because the
engine already runs as many frames at once as there are CPUs; that is also what makes results independent of the number of workers.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from threading import Lock
from typing import Any

from videodag_cli.errors import ParamError, lacks_memory, no_memory, printable
from videodag_cli.vision.onnx.devices import ACCELERATORS, Device, missing
from videodag_cli.vision.onnx.foreign import folder_words, foreign, foreign_by_name
from videodag_cli.vision.onnx.wire import WireError, external_files

CPU = "CPUExecutionProvider"
MAX_MODEL_BYTES = 2**31 - 1
"""A protocol buffer, and so an ONNX file, cannot be larger."""
_KEPT = 8
_FATAL_ONLY = 4
_sessions: dict[tuple[str, str, int], Any] = {}
_lock = Lock()


def read_model(path: Path) -> tuple[bytes, str]:
    """The file's bytes and their SHA-256. Raises `ParamError` for what cannot be an ONNX model of its own."""
    shown = printable(path)
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            words = folder_words(path) if path.is_dir() else "is not a regular file; name an .onnx file"
            raise ParamError(f"model {shown} {words}", word="param.file")
        if facts.st_size > MAX_MODEL_BYTES:
            raise ParamError(f"model {shown} is larger than 2 GB, which no ONNX file can be", word="param.file")
        content = path.read_bytes()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it cannot be read"
        raise ParamError(f"model {shown} cannot be read: {reason}", word="param.file") from error
    try:
        outside = external_files(content)
    except WireError as error:
        found = foreign(content) or foreign_by_name(path.name)
        what = (
            f"is not an ONNX file: {error}; export the model to ONNX and name that file"
            if found is None
            else found.sentence(path.name)
        )
        raise ParamError(f"model {shown} {what}", word="param.file") from error
    if outside:
        raise ParamError(f"model {shown} {_weights_outside(path, outside[0])}", word="param.file")
    return content, hashlib.sha256(content).hexdigest()


def _weights_outside(path: Path, name: str) -> str:
    """What to do about an ONNX file whose weights are kept in another; that one is never opened."""
    shown = printable(name, limit=80)
    beside = Path(name).name == name and (path.parent / name).is_file()
    into_one = (
        f"save it as one file: python -c \"import onnx; onnx.save(onnx.load('{printable(path.name)}'), 'whole.onnx')\""
    )
    if beside:
        return f"keeps its weights in another file ({shown}), and only the file that is named is opened; {into_one}"
    return f"keeps its weights in another file ({shown}), which is not beside it; put it there, then {into_one}"


def open_session(
    content: bytes, digest: str, *, name: str, provider: str = CPU, threads: int = 1, one_shape: bool = True
) -> Any:
    """A shared `onnxruntime.InferenceSession`. `name` is what messages call the model.

    one_shape: pictures are always of one size; else no plan of memory is kept for each size that comes along.
    """
    with _lock:
        key = (digest, provider, threads)
        session = _sessions.pop(key, None)
        if session is None:
            session = _create(content, name, provider, threads, one_shape=one_shape)
            while len(_sessions) >= _KEPT:
                _sessions.pop(next(iter(_sessions)))
        _sessions[key] = session
        return session


def load_runtime() -> Any:
    """The module `onnxruntime`, silent and without telemetry.

    Since 1.29 its wheels report sessions, with names and hashes of models, to their maker, and keep a data base in the user's home for
    it. Both are off only if the variable is set before the library starts.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    return onnxruntime


def provider_of(device: Device) -> str:
    """onnxruntime's execution provider for a device; `auto` is the first of cuda, coreml, openvino that is installed, else the CPU.

    Raises `ParamError` with the line that installs what is missing.
    """
    if device == "cpu":
        return CPU
    installed = load_runtime().get_available_providers()
    if device == "auto":
        return next((kind.provider for kind in ACCELERATORS.values() if kind.provider in installed), CPU)
    provider = ACCELERATORS[device].provider
    if provider not in installed:
        raise ParamError(f"device {device}: {missing(provider, installed)}")
    return provider


def _create(content: bytes, name: str, provider: str, threads: int, *, one_shape: bool) -> Any:
    onnxruntime = load_runtime()
    installed = onnxruntime.get_available_providers()
    if provider not in installed:
        raise ParamError(missing(provider, installed))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = one_shape
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [provider] if provider == CPU else [provider, CPU]
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's errors share no base class of their own
        if lacks_memory(error):
            raise no_memory() from error
        raise ParamError(
            f"model {printable(name)} cannot be opened by onnxruntime {onnxruntime.__version__}: {_reason(error)}",
            word="param.file",
        ) from error
    if provider not in session.get_providers():
        raise ParamError(f"provider {provider!r} is installed but did not start; used instead: {CPU}")
    return session


def _reason(error: Exception) -> str:
    """onnxruntime's message on one line, without its prefix."""
    text = " ".join(str(error).split())
    return printable(text.removeprefix("[ONNXRuntimeError] : "), limit=300)
