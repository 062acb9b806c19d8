"""How one trial run of a function ended: results, what its tensors hold, gradients, or the error it raised."""

from __future__ import annotations

from typing import Any

import numpy as np

from torchplug._compile.tree import flatten
from torchplug._core import modes, selection
from torchplug._core.host import host_array
from torchplug._core.kind import engine_for
from torchplug._core.node import FREED_MESSAGE
from torchplug._core.tensor import Tensor, wrap
from torchplug._core.tracing import PACKAGE
from torchplug.autograd.engine import run_backward
from torchplug.explaining.moving import Stay
from torchplug.explaining.reachable import Reachable
from torchplug.explaining.recording import Bystander
from torchplug.explaining.values import Value

__all__ = ["Outcome", "tried"]


class Outcome:
    """What is left of a run, by name: `values` of tensors, `numbers` of other results, `memory` that results share."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.gradients: dict[str, Value] = {}
        self.numbers: dict[str, Any] = {}
        self.memory: dict[str, str] = {}
        self.structure: Any = None
        self.error: Exception | None = None
        self.error_line = ""


def tried(function: Any, args: tuple[Any, ...], backend: str, bystander: Bystander, gradients: bool) -> Outcome:
    """Runs a function on a backend beside a bystander, with all it can reach there, and puts everything back."""
    engine = engine_for(backend)
    reach = Reachable(**{_name_of(function): function}, args=args)
    outcome = Outcome()
    try:
        with Stay(reach.tensors.values(), engine), selection.use_backend(backend), bystander.running():
            try:
                _run(function, args, outcome, reach, gradients)
            except Exception as error:
                outcome.error_line = _line_of(error)
                outcome.error = error.with_traceback(None)
    finally:
        reach.restore()
    return outcome


def _run(function: Any, args: tuple[Any, ...], outcome: Outcome, reach: Reachable, gradients: bool) -> None:
    leaves, outcome.structure = flatten(function(*args))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if gradients and modes.grad_mode.get():
        _send_back([x for x in tensors if x._node is not None and x._kind.inexact])
    owners = {id(x._cell): name for name, x in reversed(reach.tensors.items()) if x._cell is not None}
    for place, leaf in enumerate(leaves):
        name = "result" if len(leaves) == 1 else f"result[{place}]"
        if isinstance(leaf, Tensor):
            outcome.values[name] = _value_of(leaf)
            if leaf._cell is not None:
                outcome.memory[name] = owners.setdefault(id(leaf._cell), name)
        else:
            outcome.numbers[name] = leaf
    for name, x in reach.tensors.items():
        outcome.values[name] = _value_of(x)
        grad = getattr(x, "_grad", None)
        if isinstance(grad, Tensor):
            outcome.gradients[f"{name}.grad"] = _value_of(grad)


def _send_back(results: list[Tensor]) -> None:
    """Sends gradients backward from results, unless the function has done so and freed the graph."""
    try:
        if results:
            run_backward(results, [_weights(x) for x in results])
    except RuntimeError as error:
        if str(error) != FREED_MESSAGE:
            raise


def _weights(x: Tensor) -> Tensor:
    """Returns an incoming gradient: all ones would hide much, since the gradient of softmax is then 0."""
    kind = x._kind
    count = x.numel()
    numbers = np.cos(np.arange(count)).reshape(tuple(x.shape)).astype(kind.dtype.numpy)
    return wrap(kind.F.from_numpy(numbers, kind.native_device), kind)


def _line_of(error: Exception) -> str:
    """Returns the innermost line of the user's that raised an error."""
    line, step = "", error.__traceback__
    while step is not None:
        path = step.tb_frame.f_code.co_filename
        if not path.startswith(PACKAGE):
            line = f"{path}:{step.tb_lineno}"
        step = step.tb_next
    return line


def _value_of(x: Tensor) -> Value:
    return Value(np.array(host_array(x)), x._kind.dtype)


def _name_of(function: Any) -> str:
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) and name.isidentifier() else type(function).__name__.lower()
