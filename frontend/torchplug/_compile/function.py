"""`compile`: a function that finds its own state, is traced once per kind of call, and is never stale."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar, overload

from torchplug._compile.fingerprint import Fingerprint
from torchplug._compile.memory import GradientOf, Snapshot, item_of
from torchplug._compile.replay import Replay, distinct
from torchplug._compile.trace import Observation, Program, Retrace, SideEffects, trace_program
from torchplug._compile.tree import flatten
from torchplug._core import autocasting, modes, selection
from torchplug._core.node import AccumulateGrad
from torchplug._core.tensor import Tensor, cell_of, shape_of
from torchplug._core.tracing import current_trace, trace_state

__all__ = ["CompiledFunction", "compile"]

Compiled = TypeVar("Compiled", bound=Callable[..., Any])

PATIENCE = 3
"""Eager runs that may change Python state (first optimizer steps make their buffers) before a function stays eager."""


class _Case:
    """One kind of call: its observations so far, then its programs under their fingerprints."""

    def __init__(self) -> None:
        self.runs = 0
        self.eager: str | None = None
        self.read: dict[int, Any] = {}
        self.programs: list[_Entry] = []


class _Entry:
    """A program, the fingerprint it was traced under, and the watch that asks quickly whether that still holds."""

    __slots__ = ("facts", "kept", "replay", "watch")

    def __init__(self, facts: Any, fingerprint: Fingerprint, replay: Replay) -> None:
        self.facts = facts
        self.kept = fingerprint
        self.watch = fingerprint.watch
        self.replay = replay


class CompiledFunction:
    """What `compile` returns for a function. Calls with arguments of new shapes, dtypes or Python values trace anew."""

    def __init__(self, function: Callable[..., Any], *, fullgraph: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.fullgraph = fullgraph
        self.exempt: set[tuple[int, str]] = set()
        self._groups: list[Any] = []
        self._cases: dict[Any, _Case] = {}

    def __repr__(self) -> str:
        return f"<compiled {self.function!r}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        bound = instance.__dict__.get(f"_compiled_{self.function.__name__}")
        if bound is None or bound.function.__func__ is not self.function:
            bound = CompiledFunction(self.function.__get__(instance, owner), fullgraph=self.fullgraph)
            object.__setattr__(instance, f"_compiled_{self.function.__name__}", bound)
        return bound

    @property
    def statistics(self) -> list[dict[str, Any]]:
        """A row for each program: "trace_seconds", "compile_seconds" (its first run included), "calls", "inputs", "outputs"."""
        return [entry.replay.statistics() for case in self._cases.values() for entry in case.programs]

    def reset(self) -> None:
        """Forgets all traces."""
        self._cases.clear()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current_trace() is not None:
            return self.function(*args, **kwargs)
        leaves, structure = flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        engine = tensors[0]._kind.engine if tensors else selection.default_engine()
        if "compile" not in engine.backend.capabilities or not _traceable(tensors, engine):
            return self.function(*args, **kwargs)
        items = [item_of(x) for x in tensors]
        signature = _signature(leaves, structure, items)
        case = self._cases.get(signature)
        if case is None:
            case = self._cases[signature] = _Case()
        if case.eager is not None:
            return self.function(*args, **kwargs)
        for entry in case.programs:
            if entry.watch.holds() and entry.replay.fits(items):
                return self._run(case, entry, tensors, items, args, kwargs)
        return self._search(case, engine, tensors, items, args, kwargs)

    def _search(
        self, case: _Case, engine: Any, tensors: list[Tensor], items: list[Any], args: tuple, kwargs: dict[str, Any]
    ) -> Any:
        """Looks for the program traced under what the function can reach now; observes or traces if there is none."""
        fingerprint = Fingerprint(self.exempt)
        facts = fingerprint.of(self.function)
        case.programs = [entry for entry in case.programs if not entry.watch.looks_elsewhere()]
        for entry in case.programs:
            if entry.facts == facts and entry.replay.fits(items):
                entry.watch, entry.kept = fingerprint.watch, fingerprint
                return self._run(case, entry, tensors, items, args, kwargs)
        if case.runs <= 0:
            return self._observe(case, engine, facts, items, args, kwargs)
        return self._trace(case, engine, facts, fingerprint, tensors, items, args, kwargs)

    def _run(
        self, case: _Case, entry: _Entry, tensors: list[Tensor], items: list[Any], args: tuple, kwargs: dict[str, Any]
    ) -> Any:
        try:
            return entry.replay.run(tensors, items)
        except Retrace:
            case.programs.remove(entry)
            return self(*args, **kwargs)

    def _observe(
        self, case: _Case, engine: Any, facts: Any, items: list[Any], args: tuple, kwargs: dict[str, Any]
    ) -> Any:
        """Runs eagerly, noting what is read; counts the run only if it left the Python state as it was."""
        from torchplug._compile.watch import watched

        snapshot = Snapshot(engine)
        observation = Observation(snapshot, self.exempt)
        token = trace_state.set(observation)
        try:
            with watched(engine, observation):
                result = self.function(*args, **kwargs)
        except BaseException:
            snapshot.restore()
            raise
        finally:
            trace_state.reset(token)
        self._groups += observation.groups
        own = {id(item) for item in items}
        case.read = {key: item for key, item in observation.read.items() if id(item) not in own}
        if Fingerprint(self.exempt).of(self.function) == facts:
            case.runs = 1
        else:
            case.runs -= 1
            if case.runs < -PATIENCE:
                self._give_up(case, "it changes Python values (lists, attributes, counters) at every call")
        return result

    def _give_up(self, case: _Case, why: str) -> None:
        if self.fullgraph:
            raise RuntimeError(f"{self.function!r} cannot be compiled whole: {why}")
        case.eager = why
        warnings.warn(f"torchplug.compile runs {self.function!r} eagerly: {why}", UserWarning, stacklevel=4)

    def _trace(
        self,
        case: _Case,
        engine: Any,
        facts: Any,
        fingerprint: Fingerprint,
        tensors: list[Tensor],
        items: list[Any],
        args: tuple,
        kwargs: Any,
    ) -> Any:
        own = {id(item) for item in items}
        read = distinct([_place(item) for item in case.read.values() if _present(item)])
        state = [item for item in read if id(item) not in own]
        program = Program(engine, tensors, distinct(items), state, self.exempt)
        start = perf_counter()
        try:
            trace_program(program, self.function, args, kwargs)
        except SideEffects as effect:
            self._give_up(case, str(effect))
            return self.function(*args, **kwargs)
        self._groups += program.groups
        entry = _Entry(facts, fingerprint, Replay(program, perf_counter() - start))
        program.argument_items, program.arguments, program.places = [], [], {}
        fingerprint.watch.refresh()
        result = self._run(case, entry, tensors, items, args, kwargs)
        case.programs.append(entry)
        self._report(entry.replay)
        return result

    def _report(self, replay: Replay) -> None:
        import logging

        logging.getLogger("torchplug.compile").info(
            "compiled %r: traced in %.2f s, compiled and first run in %.2f s",
            self.function, replay.trace_seconds, replay.compile_seconds,
        )  # fmt: skip


def _place(item: Any) -> Any:
    """Returns the storage of a tensor that was read: its first write makes it one, before or after the trace."""
    return cell_of(item) if isinstance(item, Tensor) else item


def _present(item: Any) -> bool:
    return type(item) is not GradientOf or isinstance(getattr(item.leaf, "_grad", None), Tensor)


def _traceable(tensors: list[Tensor], engine: Any) -> bool:
    for x in tensors:
        if x._kind.engine is not engine or (x._node is not None and type(x._node) is not AccumulateGrad):
            return False
    return True


def _signature(leaves: list[Any], structure: Any, items: list[Any]) -> Any:
    places: dict[int, int] = {}
    for item in items:
        places.setdefault(id(item), len(places))
    facts = []
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            item = item_of(leaf)
            chain = () if leaf._cell is None or leaf._view is None else leaf._view.chain
            facts.append(
                (leaf._kind, shape_of(leaf), leaf._node is not None, _hashable(chain), places[id(item)], type(leaf))
            )
        else:
            facts.append(_hashable(leaf))
    return (
        structure,
        tuple(facts),
        bool(modes.grad_mode.get()),
        modes.inference.get(),
        modes.default_dtype(),
        selection.get_backend(),
        autocasting.guards(),
    )


def _hashable(value: Any) -> Any:
    if isinstance(value, float):
        return ("float", repr(value))
    try:
        hash(value)
    except TypeError:
        return (type(value), repr(value))
    if isinstance(value, tuple) and any(isinstance(part, (slice, tuple)) for part in value):
        return repr(value)
    return (type(value), value)


@overload
def compile(
    model: Compiled, *, fullgraph: bool = ..., dynamic: bool | None = ..., backend: Any = ..., mode: str | None = ...,
    options: dict[str, Any] | None = ..., disable: bool = ...,
) -> Compiled: ...  # fmt: skip
@overload
def compile(
    model: None = None, *, fullgraph: bool = ..., dynamic: bool | None = ..., backend: Any = ..., mode: str | None = ...,
    options: dict[str, Any] | None = ..., disable: bool = ...,
) -> Callable[[Compiled], Compiled]: ...  # fmt: skip
def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = None,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """Returns a function (or module) that computes the same, faster where the engine can compile.

    Nothing is declared: parameters, buffers, gradients, optimizer state, random numbers and learning rates the function uses
    are found, read anew and written back at every call. The first calls of a kind run eagerly and are watched; then the
    function is traced. On engines without a compiler the function simply runs.

    `fullgraph` raises where the function would otherwise stay eager. `dynamic`, `backend`, `mode`, `options` are accepted for
    PyTorch's sake; the engine of the tensors decides how it compiles. Source: https://pytorch.org/docs/stable/generated/torch.compile.html
    """
    if model is None:
        return functools.partial(
            compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, disable=disable
        )
    if disable:
        return model
    if not callable(model):
        raise TypeError(f"got {type(model).__name__} to compile, expected a function or a module")
    own = getattr(model, "__torchplug_compile__", None)
    if own is not None:
        return own(CompiledFunction, fullgraph=fullgraph)
    return CompiledFunction(model, fullgraph=fullgraph)
