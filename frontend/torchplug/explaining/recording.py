"""A trial run: every op, view, write and gradient in order, with values and the user's line."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from torchplug._compile.watch import replaced
from torchplug._core import anomaly, modes
from torchplug._core import kind as kinds
from torchplug._core import tensor as memory
from torchplug._core.host import host_array
from torchplug._core.kernels import COMPOSITIONS
from torchplug._core.op import Op, ViewOp
from torchplug._core.tensor import Storage, Tensor, array_of
from torchplug._core.tracing import current_trace, trace_state, user_line
from torchplug.explaining.values import Value

__all__ = ["GRADIENT", "OP", "VIEW", "WRITE", "Bystander", "Event", "Trial", "arrays_in", "is_step"]

OP, VIEW, WRITE, GRADIENT = "op", "view", "write", "gradient"
_COPIES = ("dense", "copy")
"""Kernels that only move memory: whether one is needed is the engine's matter."""
_QUESTIONS = frozenset((
    "to_numpy", "dtype_of", "device_of", "strides_of", "storage_of", "data_pointer", "reshapes_in_place", "is_tracer", "own",
    "synchronize", "find", "has_own",
))  # fmt: skip
_OFTEN = 32
_KEPT = 256


class Event:
    """One thing a run did. `makers` says for each input who made its array, (name, line), where that was no op."""

    __slots__ = ("inputs", "kind", "line", "makers", "name", "outputs")

    def __init__(
        self, kind: str, name: str, line: str, outputs: Sequence[Value], inputs: Sequence[Value] = (), makers: Any = ()
    ) -> None:
        self.kind = kind
        self.name = name
        self.line = line
        self.outputs = outputs
        self.inputs = inputs
        self.makers = makers

    @property
    def everywhere(self) -> bool:
        """Whether every engine has this event: views and writes of memory depend on how an engine keeps it."""
        return self.kind in (OP, GRADIENT)

    @property
    def steps(self) -> bool:
        """Whether this is an optimizer's update, which is given gradients."""
        return is_step(self.name)


class Bystander:
    """Stands where a trace would (`current_trace`) and changes nothing, but that compiled functions run eagerly."""

    def host_input(self, kind: Any, host: Any, method: str, args: tuple) -> Any:
        return kind.F.from_numpy(getattr(host, method)(*args), kind.native_device)

    def hyper(self, group: dict[str, Any], name: str, kind: Any) -> Any:
        return group[name]

    def refuses(self, array: Any) -> bool:
        return False

    def running(self) -> contextlib.AbstractContextManager[None]:
        """A with block in which this sees what happens."""
        raise NotImplementedError


class Trial(Bystander):
    """Tells `told(event)` what happens in a block of this context, on whatever engine, while `listens` is true."""

    def __init__(self, told: Callable[[Event], None]) -> None:
        self.told = told
        self.listens = True
        self.failure: tuple[str, str] | None = None
        self._busy = False
        self._makers: dict[int, tuple[Any, str, str]] = {}
        self._kept: dict[int, Value] = {}
        self._writes: dict[int, tuple[Storage, str]] = {}
        self._often: weakref.WeakKeyDictionary[Storage, int] = weakref.WeakKeyDictionary()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """A with block in which everything is told."""
        recording = modes.WITH_LINES if modes.grad_mode.get() else False
        with contextlib.ExitStack() as stack:
            for name in kinds.loaded():
                stack.enter_context(replaced(kinds.engine_for(name), self._around_op, self._around_kernel))
            stack.enter_context(_exchanged(ViewOp, "__call__", self._around_view(ViewOp.__call__)))
            stack.enter_context(_exchanged(memory, "count_write", self._around_write(memory.count_write)))
            switches: tuple[tuple[Any, Any], ...] = (
                (trace_state, self),
                (anomaly.observer, self),
                (modes.anomaly, True),
                (modes.check_nan, True),
                (modes.grad_mode, recording),
            )
            for switch, value in switches:
                stack.callback(switch.reset, switch.set(value))
            yield
            self._tell_writes()

    # ---- what the gradient engine tells --------------------------------------------------------------------------------

    def gradient(self, node: Any, results: Sequence[Any], grads: Sequence[Any]) -> None:
        """Hears of the gradients one node made of those that came to it."""
        op = node.op
        if not self.listens or self._busy or isinstance(op, ViewOp) or getattr(op, "kernel", None) in _COPIES:
            return
        outs = [
            self._value(node.kind.engine, _raw(g))
            for g, edge in zip(results, node.edges, strict=False)
            if g is not None and edge is not None
        ]
        ins = [self._value(node.kind.engine, _raw(g)) for g in grads if g is not None]
        self._tell(Event(GRADIENT, op.name, _line_of(node), _known(outs), _known(ins)))

    def failed(self, node: Any) -> None:
        """Hears that the rule of a node raised."""
        self.failure = self.failure or (node.op.name, _line_of(node))

    # ---- what stands around the core's functions -----------------------------------------------------------------------

    def _hears(self) -> bool:
        return self.listens and not self._busy and current_trace() is self

    def _around_op(self, engine: Any, op: Op, kernel: Callable[..., Any]) -> Callable[..., Any]:
        quiet = op.kernel in _COPIES

        def recorded(*args: Any) -> Any:
            return self._record(engine, op.name, kernel, args, quiet) if self._hears() else kernel(*args)

        return recorded

    def _around_kernel(self, engine: Any, name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        if name in _QUESTIONS:
            return kernel
        steps = is_step(name)

        def noted(*args: Any, **keywords: Any) -> Any:
            if not self._hears():
                return kernel(*args, **keywords)
            if steps:
                return self._record(engine, name, kernel, args, False)
            self._busy = True
            try:
                result = kernel(*args, **keywords)
            finally:
                self._busy = False
            self._note_maker(result, name)
            return result

        return noted

    def _record(self, engine: Any, name: str, kernel: Callable[..., Any], args: tuple[Any, ...], quiet: bool) -> Any:
        line = user_line()
        self._tell_writes()
        arrays = list(arrays_in(args))
        inputs = [self._value(engine, array) for array in arrays]
        makers = [self._maker(array) for array in arrays]
        self._busy = True
        try:
            result = kernel(*args)
        except Exception:
            self.failure = self.failure or (name, line)
            raise
        finally:
            self._busy = False
        if not quiet:
            outputs = [self._value(engine, array) for array in arrays_in((result,))]
            self._tell(Event(OP, name, line, _known(outputs), _known(inputs), makers))
        return result

    def _around_view(self, call: Callable[..., Tensor]) -> Callable[..., Tensor]:
        trial = self

        def viewed(op: ViewOp, x: Tensor, *args: Any, **keywords: Any) -> Tensor:
            out = call(op, x, *args, **keywords)
            if trial._hears():
                engine = out._kind.engine
                outs, ins = ([trial._value(engine, array_of(tensor))] for tensor in (out, x))
                trial._tell(Event(VIEW, op.name, user_line(), _known(outs), _known(ins)))
            return out

        return viewed

    def _around_write(self, count: Callable[[Storage, Any], None]) -> Callable[[Storage, Any], None]:
        def counted(cell: Storage, view: Any) -> None:
            count(cell, view)
            if self.listens and current_trace() is self:
                often = self._often[cell] = self._often.get(cell, 0) + 1
                # A loop that writes elements one by one would have the whole memory read each time.
                if often <= _OFTEN or often & (often - 1) == 0:
                    self._writes[id(cell)] = cell, user_line()

        return counted

    # ---- what is told ----------------------------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        self._tell_writes()
        self.told(event)

    def _tell_writes(self) -> None:
        """Tells what the storages written since the last event hold, and what their views show."""
        writes, self._writes = self._writes, {}
        for cell, line in writes.values():
            if self.listens:
                self.told(Event(WRITE, "write", line, _known(self._shown(cell))))

    def _shown(self, cell: Storage) -> list[Value | None]:
        if cell.array is not None and cell.kind.engine.is_tracing(cell.array):
            return []
        whole = cell.mirror if cell.array is None else cell.kind.F.to_numpy(cell.array)
        seen: list[Value | None] = [Value(np.array(whole), cell.kind.dtype)]
        for ref in cell.aliases:
            other = ref()
            if other is not None and other._cell is cell:
                seen.append(Value(np.array(host_array(other)), other._kind.dtype))
        return seen

    def _value(self, engine: Any, array: Any) -> Value | None:
        """Returns a copy of an array's value, the last one if it holds that still; None inside a compilation."""
        if engine.is_tracing(array):
            return None
        host, kept = engine.F.to_numpy(array), self._kept.get(id(array))
        if kept is not None and kept.array.dtype == host.dtype and kept.shape == host.shape:
            if kept.array.tobytes() == host.tobytes():
                return kept
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        value = self._kept[id(array)] = Value.of(engine.F, array)
        return value

    def _note_maker(self, result: Any, name: str) -> None:
        line = user_line()
        for array in arrays_in((result,)):
            with contextlib.suppress(TypeError):
                self._makers[id(array)] = weakref.ref(array), name, line

    def _maker(self, array: Any) -> tuple[str, str] | None:
        ref, name, line = self._makers.get(id(array), (None, "", ""))
        return (name, line) if ref is not None and ref() is array else None


@contextlib.contextmanager
def _exchanged(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def is_step(name: str) -> bool:
    """Says whether a kernel is an optimizer's update."""
    return getattr(COMPOSITIONS.get(name), "__module__", "") == "torchplug.ops.optimizers"


def arrays_in(values: Any) -> Iterator[Any]:
    """Yields the arrays among the arguments or results of a kernel."""
    for value in values:
        if type(value) in (list, tuple):
            yield from arrays_in(value)
        elif hasattr(value, "shape") and hasattr(value, "dtype"):
            yield value


def _known(values: Sequence[Value | None]) -> list[Value]:
    return [value for value in values if value is not None]


def _raw(g: Any) -> Any:
    return array_of(g) if isinstance(g, Tensor) else g


def _line_of(node: Any) -> str:
    """Returns the user's line that made a node."""
    frames = (getattr(node, "trace", None) or ((),))[0]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else user_line()
