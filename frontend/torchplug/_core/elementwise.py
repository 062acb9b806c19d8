"""Factories of elementwise functions: the shortest path from call to kernel.

The functions made here are the hottest of all, so their bodies are written out: one identity test (`_kind`) decides that
neither promotion nor transfer is needed, results are made by slot stores, nodes hold only what their rules name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torchplug._core.autocast_policies import CASTABLE
from torchplug._core.autocasting import CASTING, casting
from torchplug._core.declare import Sample, declare
from torchplug._core.inplace import write_out
from torchplug._core.kind import Kind
from torchplug._core.modes import default_dtype, grad_enabled
from torchplug._core.node import Node, next_sequence_number
from torchplug._core.op import Op, parameters_of, record
from torchplug._core.operands import (
    Number,
    argument_error,
    as_number,
    broadcast_shapes,
    convert,
    need_tensor,
    promote,
    promote_pair,
)
from torchplug._core.promotion import result_type
from torchplug._core.tensor import Parameter, Tensor, array_of, new, shape_of, wrap
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = [
    "Number",
    "argument_error",
    "as_number",
    "binary",
    "broadcast_shapes",
    "convert",
    "need_tensor",
    "promote",
    "promote_pair",
    "refusal",
    "unary",
]

if TYPE_CHECKING:
    from typing import Protocol

    class UnaryFunction(Protocol):
        """What `unary` makes."""

        __name__: str

        def __call__(self, input: Tensor, *, out: Tensor | None = None) -> Tensor: ...

    class BinaryFunction(Protocol):
        """What `binary` makes."""

        __name__: str

        def __call__(
            self, input: Tensor | complex, other: Tensor | complex, *, out: Tensor | None = None
        ) -> Tensor: ...


Refusals = Mapping[str, "str | Exception"]


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
    refuse: Refusals | None = None,
    errors: Callable[[], Iterable[Sample]] | None = None,
) -> UnaryFunction:
    """Declares an elementwise function of one tensor.

    `floats`: integers are computed in the default dtype. `result`: "same", "bool", or "real" (complex gives its real
    type). `refuse`: dtype kinds the function is not defined for, see `refusal`.
    """
    op = Op(
        name,
        ("input",),
        tensors=("input",),
        kernel=kernel,
        forward=forward,
        rules={"input": rule} if rule else {},
        node=node,
        differentiable_outputs=1 if rule else 0,
    )
    slot = op.slot
    needs = parameters_of(rule)[2:] if rule else ()
    simple = needs in ((), ("input",), ("out",))
    saves_input, saves_out = "input" in needs, "out" in needs
    same = result == "same"
    castable = name in CASTABLE

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if castable and CASTING and (cast := casting(name)) is not None:
            return cast(function, input, out=out)
        try:
            kind = input._kind
        except AttributeError:
            raise argument_error(name, "input", "Tensor", input, 1) from None
        if refuse and kind.dtype.kind in refuse:
            raise refusal(refuse, name, kind.dtype)
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
        if parent is None or rule is None:
            tensor._node = None
        elif (mode := grad_enabled()) is True and simple:
            node = new(Node)
            node.op = op
            node.edges = (parent,)
            node.kind = kind
            node.plan = op.plan(1)
            cell = input._cell
            node.versions = (cell.version,) if saves_input and cell is not None else None
            node.saved = (array,) if saves_input else (value,) if saves_out else ()
            node.sources = (input,) if saves_input else (None,) if saves_out else ()
            node.fix = node.cell = node.hooks = node.outputs = None
            node.seq = next_sequence_number()
            tensor._node = node
        else:
            tensor._node = None
            if mode:
                record(op, (input,), (array,), (input,), (tensor,), ())
        return tensor if out is None else write_out(out, tensor, name)

    return _publish(
        function,
        name,
        doc,
        op,
        samples=samples or _unary_samples,
        errors=errors,
        dtypes=dtypes,
        inplace=inplace,
        aliases=aliases,
        differentiable=rule is not None,
    )


def refusal(refuse: Refusals, name: str, dtype: DType) -> Exception:
    """Returns PyTorch's error for a dtype kind that a function refuses.

    A kernel's name stands for PyTorch's standard sentence; an exception is raised as it is.
    """
    from torchplug._core.naming import scalar_type_name

    said = refuse[dtype.kind]
    if isinstance(said, Exception):
        return type(said)(*said.args)
    return NotImplementedError(f"\"{said or name}\" not implemented for '{scalar_type_name(dtype)}'")


def _publish(function: Any, name: str, doc: str, op: Op, **facts: Any) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__module__ = "torchplug"
    return declare(op=op, **facts)(function)


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
    refuse: Refusals | None = None,
    errors: Callable[[], Iterable[Sample]] | None = None,
    swap: bool = False,
    numbers: bool = True,
    guard: Callable[[Any, Any], None] | None = None,
    method: bool = True,
) -> BinaryFunction:
    """Declares an elementwise function of two tensors (or a tensor and a number), broadcast and promoted.

    Arguments as in `unary`. Rules may name `input` and `other`; the engine reduces gradients to the inputs' shapes.
    `swap`: the number may stand first. `numbers`: the second may be one. `guard(input, other)` raises for operands
    PyTorch refuses; it sees every call but those of two operands of one dtype that `refuse` does not name.
    """
    op = Op(
        name,
        ("input", "other"),
        tensors=("input", "other"),
        kernel=kernel,
        forward=forward,
        rules=rules,
        node=node,
        broadcasts=True,
        differentiable_outputs=1 if rules else 0,
    )
    slot = op.slot
    same = result == "same"
    smooth = bool(rules)
    castable = name in CASTABLE
    saves = [_saves(rules, mask) for mask in range(4)]
    plans: list[Any] = [None] * 4

    def plan_for(mask: int) -> Any:
        plans[mask] = op.plan(mask)
        return plans[mask]

    any_dtype = not floats and not refuse
    quick = frozenset(("float", "complex") if floats else ("bool", "uint", "int", "float", "complex")) - set(
        refuse or ()
    )

    def function(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
        if castable and CASTING and (cast := casting(name)) is not None:
            return cast(function, input, other, out=out)
        try:
            kind = input._kind
        except AttributeError:
            return wrong_input(input, other)
        cls = type(other)
        if (cls is Tensor or cls is Parameter) and kind is other._kind and (any_dtype or kind.dtype.kind in quick):
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
        elif (
            numbers
            and ((cls is float and kind.inexact) or (cls is int and (kind.inexact or kind.dtype is dt.int64)))
            and (any_dtype or kind.dtype.kind in quick)
        ):
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
        if (parent is None and parent2 is None) or not smooth:
            tensor._node = None
            return tensor if out is None else write_out(out, tensor, name)
        mode = grad_enabled()
        if mode is True:
            mask = 1 if parent2 is None else 2 if parent is None else 3
            tensor._node = node = new(Node)
            node.op = op
            node.edges = (parent, parent2)
            node.kind = kind
            node.plan = plans[mask] or plan_for(mask)
            code = saves[mask]
            if code == NOTHING:
                node.saved = node.sources = ()
                node.versions = None
            elif code == OTHER:
                node.saved = (b,)
                node.sources = (other,)
                node.versions = (
                    None if parent2 is None and cls is not Tensor or other._cell is None else (other._cell.version,)
                )
            elif code == INPUT:
                node.saved = (a,)
                node.sources = (input,)
                node.versions = None if input._cell is None else (input._cell.version,)
            else:
                node.saved, node.sources, node.versions = _save_both(code, a, b, input, other)
            shape = a.shape
            if shape == b.shape:
                node.fix = None
            else:
                whole = value.shape
                node.fix = (None if shape == whole else shape, None if b.shape == whole else b.shape)
            node.cell = node.hooks = node.outputs = None
            node.seq = next_sequence_number()
        else:
            tensor._node = None
            if mode:
                record(op, (input, other), (a, b), _pair(input, other, kind, b), (tensor,), ())
        return tensor if out is None else write_out(out, tensor, name)

    def slow(input: Tensor, other: Any, out: Tensor | None) -> Tensor:
        """Promotes, moves 0-d operands to the other's device, then calls the op."""
        if not isinstance(other, Tensor):
            if not numbers:
                raise argument_error(name, "other", "Tensor", other, 2)
            if not isinstance(other, Number):
                answer = foreign(reflected, input, other)
                if answer is not NotImplemented:
                    return answer
                other = as_number(name, other)
        if guard is not None:
            guard(input, other)
        common = result_type(input, other)
        if floats and not (common.is_floating_point or common.is_complex):
            common = default_dtype()
        if refuse and (common.kind in refuse or input._kind.dtype.kind in refuse):
            raise refusal(refuse, name, common if common.kind in refuse else input._kind.dtype)
        x, y = promote_pair(name, input, other, common)
        broadcast_shapes(shape_of(x), shape_of(y))
        tensor = op(x, y)
        return tensor if out is None else write_out(out, tensor, name)

    def wrong_input(input: Any, other: Any) -> Tensor:
        if swap and isinstance(input, Number) and isinstance(other, Tensor):
            return slow(
                wrap(
                    other._kind.to(result_type(input, other)).scalar(input), other._kind.to(result_type(input, other))
                ),
                other,
                None,
            )
        raise argument_error(name, "input", "Tensor", input, 1)

    reflected = f"__r{_OPERATORS.get(name, name)}__"
    function.reflected = reflected  # type: ignore[attr-defined]
    function.__annotations__["other"] = "Tensor | complex" if numbers else "Tensor"
    if swap:
        function.__annotations__["input"] = "Tensor | complex"
    return _publish(
        function,
        name,
        doc,
        op,
        samples=samples or _binary_samples,
        errors=errors,
        dtypes=dtypes,
        inplace=inplace,
        aliases=aliases,
        differentiable=smooth,
        method=method,
    )


def _pair(input: Tensor, other: Any, kind: Kind, b: Any) -> tuple[Tensor, Tensor]:
    return input, other if isinstance(other, Tensor) else wrap(b, kind)


NOTHING, INPUT, OTHER, INPUT_OTHER, OTHER_INPUT = range(5)


def _saves(rules: dict[str, Callable[..., Any]], mask: int) -> int:
    """Returns which operands the needed rules read, in the order the plan saves them."""
    read: list[str] = []
    for bit, name in ((1, "input"), (2, "other")):
        if mask & bit and name in rules:
            read += [needed for needed in parameters_of(rules[name])[2:] if needed not in read]
    if set(read) - {"input", "other"}:
        raise TypeError(f"a rule of a binary function may read 'input' and 'other', not {read}")
    return {(): NOTHING, ("input",): INPUT, ("other",): OTHER, ("input", "other"): INPUT_OTHER}.get(
        tuple(read), OTHER_INPUT
    )


def _save_both(code: int, a: Any, b: Any, input: Tensor, other: Any) -> tuple:
    cell, other_cell = input._cell, getattr(other, "_cell", None)
    versions = None
    if cell is not None or other_cell is not None:
        first, second = (0 if cell is None else cell.version), (0 if other_cell is None else other_cell.version)
        versions = (first, second) if code == INPUT_OTHER else (second, first)
    if code == INPUT_OTHER:
        return (a, b), (input, other), versions
    return (b, a), (other, input), versions


_OPERATORS = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "div": "truediv",
    "pow": "pow",
    "floor_divide": "floordiv",
    "remainder": "mod",
}


def foreign(reflected: str, input: Tensor, other: Any) -> Any:
    """Returns what an operand of another library makes of `input <op> other`; NotImplemented if it has no say."""
    method = getattr(type(other), reflected, None)
    if method is None or hasattr(other, "__array__"):
        return NotImplemented
    return method(other, input)


def _binary_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(3, 4), make(3, 4))
    yield Sample(make(3, 4), make(4))
    yield Sample(make(3, 1), make(1, 4))
    yield Sample(make(), make(2))
    yield Sample(make(3), 2)
