"""Factories of elementwise functions: the shortest path from call to kernel, and the promotion behind it.

The functions made here are the hottest of all, so their bodies are written out: one identity test (`_kind`) decides that
neither promotion nor transfer is needed, results are made by slot stores, nodes hold only what their rules name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torchplug_spec import DType
from torchplug_spec import dtypes as dt

from torchplug._core.declare import Sample, declare
from torchplug._core.inplace import write_out
from torchplug._core.kind import Kind
from torchplug._core.modes import anomaly, default_dtype, grad_enabled
from torchplug._core.node import Node, next_sequence_number
from torchplug._core.op import TENSOR_SPACE, Op, device_error, parameters_of, record
from torchplug._core.promotion import result_type
from torchplug._core.tensor import Parameter, Tensor, array_of, new, shape_of, wrap

__all__ = ["binary", "broadcast_shapes", "convert", "unary"]

Number = (bool, int, float, complex)


def convert(x: Tensor, dtype: DType) -> Tensor:
    """Returns `x` as another dtype, with history; `x` itself when it has that dtype."""
    if x._kind.dtype is dtype:
        return x
    if x._node is not None and grad_enabled() and (dtype.is_floating_point or dtype.is_complex):
        return TENSOR_SPACE.astype(x, dtype)
    kind = x._kind.to(dtype)
    return wrap(x._kind.F.astype(array_of(x), dtype), kind)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape all shapes broadcast to; PyTorch's error if there is none."""
    result: list[int] = []
    longest = max((len(shape) for shape in shapes), default=0)
    for dim in range(-longest, 0):
        length = 1
        for shape in shapes:
            if len(shape) >= -dim and shape[dim] != 1:
                if length not in (1, shape[dim]):
                    raise RuntimeError(
                        f"The size of tensor a ({length}) must match the size of tensor b ({shape[dim]}) at non-singleton "
                        f"dimension {longest + dim}"
                    )
                length = shape[dim]
        result.append(length)
    return tuple(result)


def argument_error(function: str, name: str, expected: str, got: Any) -> TypeError:
    """Returns PyTorch's error for an argument of the wrong type."""
    return TypeError(f"{function}(): argument '{name}' must be {expected}, not {type(got).__name__}")


def unary(
    name: str,
    rule: Callable[..., Any] | None,
    doc: str,
    *,
    kernel: str | None = None,
    forward: Callable[..., Any] | None = None,
    floats: bool = False,
    result: str = "same",
    samples: Callable[..., Iterable[Sample]] | None = None,
    dtypes: Sequence[str] = ("float",),
    inplace: bool = True,
    aliases: Sequence[str] = (),
    node: str | None = None,
    refuse: Sequence[str] = (),
) -> Callable[..., Tensor]:
    """Declares an elementwise function of one tensor.

    `floats`: integers are computed in the default dtype. `result`: "same", "bool", or "real" (complex gives its real
    type). `refuse`: dtype kinds the function is not defined for.
    """
    op = Op(name, ("input",), tensors=("input",), kernel=kernel, forward=forward, rules={"input": rule} if rule else {}, node=node)
    op.elementwise_constant = rule is None
    slot = op.slot
    needs = parameters_of(rule)[2:] if rule else ()
    simple = needs in ((), ("input",))
    saves_input = "input" in needs
    same = result == "same"

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        try:
            kind = input._kind
        except AttributeError:
            raise argument_error(name, "input", "Tensor", input) from None
        if refuse and kind.dtype.kind in refuse:
            raise _undefined(name, kind)
        if floats and not kind.inexact:
            input = convert(input, default_dtype())
            kind = input._kind
        array = input._array
        if array is None:
            array = array_of(input)
        value = kind.table[slot](array)
        tensor = new(Tensor)
        tensor._array = value
        tensor._kind = kind if same else kind.of(value)
        tensor._cell = None
        parent = input._node
        if parent is None or rule is None or not grad_enabled():
            tensor._node = None
        elif simple and not anomaly.get():
            node = new(Node)
            node.op = op
            node.edges = (parent,)
            node.kind = kind
            node.plan = op.plan(1)
            cell = input._cell
            node.versions = (cell.version,) if saves_input and cell is not None else None
            node.saved = (array,) if saves_input else ()
            node.sources = (input,) if saves_input else ()
            node.fix = node.cell = node.hooks = node.outputs = None
            node.seq = next_sequence_number()
            tensor._node = node
        else:
            record(op, (input,), (array,), (input,), (tensor,), ())
        return tensor if out is None else write_out(out, tensor, name)

    return _publish(function, name, doc, op, samples or _unary_samples, dtypes, inplace, aliases, rule is not None)


def _undefined(name: str, kind: Kind) -> RuntimeError:
    from torchplug._core.naming import scalar_type_name

    return NotImplementedError(f'"{name}" not implemented for \'{scalar_type_name(kind.dtype)}\'')


def _publish(function: Any, name: str, doc: str, op: Op, samples: Any, dtypes: Any, inplace: bool, aliases: Any, smooth: bool) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__module__ = "torchplug"
    return declare(op=op, samples=samples, dtypes=dtypes, inplace=inplace, aliases=aliases, differentiable=smooth)(function)


def _unary_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4))
    yield Sample(make())
    yield Sample(make(2, 0, 3))
    yield Sample(make(5))


def binary(
    name: str,
    rules: dict[str, Callable[..., Any]],
    doc: str,
    *,
    kernel: str | None = None,
    forward: Callable[..., Any] | None = None,
    floats: bool = False,
    result: str = "same",
    samples: Callable[..., Iterable[Sample]] | None = None,
    dtypes: Sequence[str] = ("float",),
    inplace: bool = True,
    aliases: Sequence[str] = (),
    node: str | None = None,
    refuse: Sequence[str] = (),
    swap: bool = False,
) -> Callable[..., Tensor]:
    """Declares an elementwise function of two tensors (or a tensor and a number), broadcast and promoted.

    Arguments as in `unary`. Rules may name `input` and `other`; the engine reduces gradients to the inputs' shapes.
    """
    op = Op(name, ("input", "other"), tensors=("input", "other"), kernel=kernel, forward=forward, rules=rules, node=node,
            broadcasts=True)
    slot = op.slot
    same = result == "same"
    smooth = bool(rules)
    saves = [_saves(rules, mask) for mask in range(4)]
    any_dtype = not floats and not refuse

    def function(input: Tensor, other: Tensor | complex, *, out: Tensor | None = None) -> Tensor:
        try:
            kind = input._kind
        except AttributeError:
            return wrong_input(input, other)
        cls = type(other)
        if (cls is Tensor or cls is Parameter) and kind is other._kind and (any_dtype or kind.inexact):
            a = input._array
            if a is None:
                a = array_of(input)
            b = other._array
            if b is None:
                b = array_of(other)
            try:
                value = kind.table[slot](a, b)
            except Exception:
                broadcast_shapes(a.shape, b.shape)
                raise
            parent2 = other._node
        elif (cls is float and kind.inexact) or (cls is int and (kind.inexact or (any_dtype and kind.dtype is dt.int64))):
            a = input._array
            if a is None:
                a = array_of(input)
            b = kind.scalar(other)
            value = kind.table[slot](a, b)
            parent2 = None
        else:
            return slow(input, other, out)
        tensor = new(Tensor)
        tensor._array = value
        tensor._kind = kind if same else kind.of(value)
        tensor._cell = None
        parent = input._node
        if (parent is None and parent2 is None) or not smooth or not grad_enabled():
            tensor._node = None
        elif anomaly.get():
            record(op, (input, other), (a, b), _pair(input, other, kind, b), (tensor,), ())
        else:
            mask = (1 if parent is not None else 0) + (2 if parent2 is not None else 0)
            node = new(Node)
            node.op = op
            node.edges = (parent, parent2)
            node.kind = kind
            node.plan = op.plan(mask)
            code = saves[mask]
            if code == 0:
                node.saved = node.sources = ()
                node.versions = None
            elif code == 1:
                node.saved = (a,)
                node.sources = (input,)
                node.versions = (input._cell.version,) if input._cell is not None else None
            elif code == 2:
                node.saved = (b,)
                node.sources = (other,) if b is not None else (None,)
                node.versions = (other._cell.version,) if parent2.__class__ is not None and cls not in Number and other._cell is not None else None
            else:
                node.saved, node.sources, node.versions = _save_both(node.plan, a, b, input, other)
            shape = value.shape
            if a.shape == shape and b.shape == shape:
                node.fix = None
            else:
                node.fix = (None if a.shape == shape else a.shape, None if b.shape == shape else b.shape)
            node.cell = node.hooks = node.outputs = None
            node.seq = next_sequence_number()
            tensor._node = node
        return tensor if out is None else write_out(out, tensor, name)

    def slow(input: Tensor, other: Any, out: Tensor | None) -> Tensor:
        """Promotes, moves 0-d operands to the other's device, then calls the op."""
        if not isinstance(other, Tensor) and not isinstance(other, Number):
            other = as_number(name, other)
        common = result_type(input, other)
        if floats and not (common.is_floating_point or common.is_complex):
            common = default_dtype()
        if common.kind in refuse:
            raise _undefined(name, input._kind.to(common))
        x, y = promote_pair(name, input, other, common)
        broadcast_shapes(shape_of(x), shape_of(y))
        tensor = op(x, y)
        return tensor if out is None else write_out(out, tensor, name)

    def wrong_input(input: Any, other: Any) -> Tensor:
        if swap and isinstance(input, Number) and isinstance(other, Tensor):
            return slow(wrap(other._kind.to(result_type(input, other)).scalar(input), other._kind.to(result_type(input, other))), other, None)
        raise argument_error(name, "input", "Tensor", input)

    return _publish(function, name, doc, op, samples or _binary_samples, dtypes, inplace, aliases, smooth)


def _pair(input: Tensor, other: Any, kind: Kind, b: Any) -> tuple[Tensor, Tensor]:
    return input, other if isinstance(other, Tensor) else wrap(b, kind)


def _saves(rules: dict[str, Callable[..., Any]], mask: int) -> int:
    """Returns which inputs the needed rules read: 0 none, 1 input, 2 other, 3 both."""
    read = set()
    for bit, name in ((1, "input"), (2, "other")):
        if mask & bit and name in rules:
            read.update(parameters_of(rules[name])[2:])
    if read - {"input", "other"}:
        return 3
    return ("input" in read) + 2 * ("other" in read)


def _save_both(plan: Any, a: Any, b: Any, input: Tensor, other: Any) -> tuple:
    """Saves in the order of the plan's items (they may name both operands in either order)."""
    arrays, tensors = (a, b), (input, other if isinstance(other, Tensor) else None)
    saved = tuple(arrays[place] for _, place in plan.items)
    sources = tuple(tensors[place] for _, place in plan.items)
    versions = tuple(x._cell.version if x is not None and x._cell is not None else 0 for x in sources)
    return saved, sources, versions if any(versions) else None


def as_number(name: str, value: Any) -> Any:
    """Returns a Python number for a NumPy scalar or 0-d array; PyTorch's error for anything else."""
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "ndim", None) == 0:
        number = item()
        if isinstance(number, Number):
            return number
    raise argument_error(name, "other", "Tensor", value)


def promote_pair(name: str, input: Tensor, other: Any, common: DType) -> tuple[Tensor, Tensor]:
    """Returns both operands as tensors of dtype `common` on one device (0-d host tensors follow the other operand)."""
    if not isinstance(other, Tensor):
        kind = input._kind.to(common)
        try:
            return convert(input, common), wrap(kind.scalar(other), kind)
        except OverflowError:
            raise RuntimeError(f"value cannot be converted to type {common.name} without overflow") from None
    if input._kind.native_device != other._kind.native_device or input._kind.engine is not other._kind.engine:
        if not shape_of(other):
            other = _follow(other, input)
        elif not shape_of(input):
            input = _follow(input, other)
        else:
            raise device_error(name, (input, other))
    return convert(input, common), convert(other, common)


def _follow(x: Tensor, leader: Tensor) -> Tensor:
    if x._kind.device.type != "cpu":
        raise device_error("an elementwise operation", (x, leader))
    if x._kind.engine is not leader._kind.engine:
        raise device_error("an elementwise operation", (x, leader))
    return TENSOR_SPACE.to_device(x, leader._kind.native_device)


def _binary_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(3, 4))
    yield Sample(make(3, 4), make(4))
    yield Sample(make(3, 1), make(1, 4))
    yield Sample(make(), make(2))
    yield Sample(make(3), 2)
