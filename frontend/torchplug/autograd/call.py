"""`backward` and `grad`: arguments checked as PyTorch checks them, then the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchplug._core.node import is_lost
from torchplug._core.tensor import Tensor, shape_of, wrap
from torchplug.autograd.engine import run_backward

__all__ = ["backward", "grad"]


def _sequence(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, Tensor) or value is None else tuple(value)


def _start(outputs: Sequence[Tensor], given: Sequence[Tensor | None], create_graph: bool) -> list[Tensor]:
    grads = []
    for index, (out, g) in enumerate(zip(outputs, given, strict=True)):
        if out._node is None or is_lost(out._node):
            raise RuntimeError(f"element {index} of tensors does not require grad and does not have a grad_fn")
        if g is None:
            if shape_of(out) and out.numel() != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if not out._kind.dtype.is_floating_point:
                raise RuntimeError(
                    f"grad can be implicitly created only for real scalar outputs but got {out._kind.dtype}"
                )
            kind = out._kind
            g = wrap(kind.F.full(shape_of(out), 1, kind.dtype, kind.native_device), kind)
        elif not isinstance(g, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        elif shape_of(g) != shape_of(out):
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{index}] has a shape of {g.shape} and output[{index}] has a shape of {out.shape}."
            )
        grads.append(g if g._kind is out._kind else g.to(out._kind.dtype))
    return grads


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Adds the gradients of `tensors` (weighted by `grad_tensors`, ones for scalars) to the `.grad` of the leaves.

    `inputs` restricts the leaves. The graph is freed unless `retain_graph` (default: `create_graph`).
    """
    outputs = _sequence(tensors)
    given = _sequence(grad_tensors) if grad_tensors is not None else (None,) * len(outputs)
    if len(given) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(given)} gradients")
    chosen = None
    if inputs is not None:
        chosen = _sequence(inputs)
        if not chosen:
            raise RuntimeError("`inputs` argument to `backward` cannot be empty.")
        for x in chosen:
            if x._node is None:
                raise RuntimeError("One of the differentiated Tensors does not require grad")
    grads = _start(outputs, given, create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    run_backward(
        outputs, grads, inputs=chosen, keep_graph=keep, create_graph=create_graph, accumulate_inputs=chosen is not None
    )


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """Returns the gradients of `outputs` with respect to `inputs`, leaving `.grad` alone.

    An input that the outputs do not depend on raises, or gives None (`allow_unused`) or zeros (`materialize_grads`).
    """
    outs, chosen = _sequence(outputs), _sequence(inputs)
    given = _sequence(grad_outputs) if grad_outputs is not None else (None,) * len(outs)
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if not chosen:
        raise ValueError("grad requires non-empty inputs.")
    for x in chosen:
        if x._node is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    keep = create_graph if retain_graph is None else retain_graph
    found = run_backward(
        outs,
        _start(outs, given, create_graph),
        inputs=chosen,
        keep_graph=keep,
        create_graph=create_graph,
        allow_unused=bool(allow_unused) or materialize_grads,
    )
    if not materialize_grads:
        return found  # type: ignore[return-value]
    return tuple(
        wrap(x._kind.F.full(shape_of(x), 0, x._kind.dtype, x._kind.native_device), x._kind) if g is None else g
        for x, g in zip(chosen, found, strict=True)
    )


def _backward_method(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradient of this tensor to the `.grad` of the leaves it was made from; see torch.autograd.backward."""
    backward(self, gradient, retain_graph, create_graph, inputs=inputs)


_backward_method.__name__ = _backward_method.__qualname__ = "backward"
Tensor.backward = _backward_method  # type: ignore[method-assign, assignment]  # attached here
