"""Torch modules as ONNX: the one place that exports what others built."""

from __future__ import annotations

import importlib.util
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from hwprofile.errors import UserError

if TYPE_CHECKING:
    import torch

OPSET, NEWER_OPSET = 17, 18
"""That torch's older and newer exporter write: what converters read, and the newer one's own."""


def onnx_of(module: torch.nn.Module, example_inputs: Sequence[Any]) -> bytes:
    """A torch module as an ONNX file, in evaluation mode and at the sizes of the example.

    With `onnxscript` it is torch's exporter of today, else the older one, which torch will drop.

    Args:
        module: anything that torch can export.
        example_inputs: the arguments of its `forward`, tensors of the sizes that are wanted.

    Raises:
        UserError: torch is missing, or the module cannot be exported.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise UserError("exporting a torch module needs torch: pip install 'hwprofile[pytorch]'") from error
    newer = _has_newer(torch.onnx.export)
    older: dict[str, Any] = {"dynamo": False} if newer is not None else {}
    try:
        with _exporting(module), torch.no_grad(), redirect_stdout(io.StringIO()):  # torch tells its steps
            if newer:
                program: Any = torch.onnx.export(
                    module, tuple(example_inputs), dynamo=True, opset_version=NEWER_OPSET, verbose=False
                )
                return bytes(program.model_proto.SerializeToString())
            file: Any = io.BytesIO()  # the older exporter takes it; its annotations say otherwise
            torch.onnx.export(module, tuple(example_inputs), file, opset_version=OPSET, **older)
            return bytes(file.getvalue())
    except Exception as error:  # whatever a module's own code, or the exporter, raises
        raise UserError(_why(module, error)) from error


def _has_newer(export: Any) -> bool | None:
    """Whether torch's newer exporter can run; it needs onnxscript. None before torch 2.5, which has one."""
    if "dynamo" not in inspect.signature(export).parameters:
        return None
    return importlib.util.find_spec("onnxscript") is not None


def _why(module: torch.nn.Module, error: Exception) -> str:
    """What went wrong, and what may help: the module's own code, or an operator that an exporter lacks."""
    what = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
    newer = importlib.util.find_spec("onnxscript") is not None
    cure = "" if newer else "; torch's newer exporter may know more: pip install onnxscript"
    return f"{type(module).__name__} cannot be exported to ONNX: {what}{cure}"


@contextmanager
def _exporting(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode, and torch silent; afterwards all is as it was."""
    training = [part for part in module.modules() if part.training]
    log = logging.getLogger("torch.onnx")
    level = log.level
    try:
        module.eval()
        log.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch on its own plans
            yield
    finally:
        log.setLevel(level)
        for part in training:
            part.training = True
