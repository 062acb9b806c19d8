"""`compile`: a function that finds its own state, is traced once per kind of call, and is never stale."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from torchplug._compile.backward import COMPILED
from torchplug._compile.fingerprint import Fingerprint
from torchplug._compile.memory import GradientOf, Snapshot, install, item_of
from torchplug._compile.trace import Alias, Argument, Fresh, Observation, Program, Retrace, SideEffects, trace_program
from torchplug._compile.tree import flatten, rebuild
from torchplug._core import autocasting, modes, selection
from torchplug._core.node import AccumulateGrad, Node, Output
from torchplug._core.tensor import Tensor, View, new, shape_of, wrap
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
        self.programs: list[tuple[Any, list[Any], tuple[bool, ...], Program]] = []


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
        fingerprint = Fingerprint(self.exempt)
        facts = fingerprint.of(self.function)
        for entry in case.programs:
            known, _, empty, program = entry
            if known == facts and empty == _empty_gradients(program.state) and _apart(program, items):
                try:
                    return self._replay(program, tensors, items)
                except Retrace:
                    case.programs.remove(entry)
                    break
        if case.runs <= 0:
            return self._observe(case, engine, facts, items, args, kwargs)
        return self._trace(case, engine, facts, fingerprint.kept, tensors, items, args, kwargs)

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
        kept: list[Any],
        tensors: list[Tensor],
        items: list[Any],
        args: tuple,
        kwargs: Any,
    ) -> Any:
        own = {id(item) for item in items}
        state = [item for item in case.read.values() if id(item) not in own and _present(item)]
        program = Program(engine, tensors, _distinct(items), state, self.exempt)
        try:
            trace_program(program, self.function, args, kwargs)
        except SideEffects as effect:
            self._give_up(case, str(effect))
            return self.function(*args, **kwargs)
        self._groups += program.groups
        case.programs.append((facts, kept, _empty_gradients(program.state), program))
        program.argument_items, program.arguments, program.places = [], [], {}
        return self._replay(program, tensors, items)

    def _replay(self, program: Program, tensors: list[Tensor], items: list[Any]) -> Any:
        arguments = _distinct(items)
        hosts = [made.array() for made in program.host_inputs]
        arrays = iter(program.compiled(program.inputs(arguments, hosts)))
        outcome = program.outcome
        fresh = {place: next(arrays) for place, leaf in enumerate(outcome.leaves) if type(leaf) is Fresh}
        for item, bumps in outcome.writes:
            install(arguments[item.place] if type(item) is Argument else item, next(arrays), bumps)
        for leaf, kind in outcome.gradients:
            target = tensors[leaf.place] if type(leaf) is Argument else leaf
            target._grad = None if kind is None else wrap(next(arrays), kind)
        made = [_result(leaf, fresh.get(place), tensors) for place, leaf in enumerate(outcome.leaves)]
        _hang_history(program, made, list(arrays), tensors)
        return rebuild(outcome.structure, iter(made))


def _distinct(items: Sequence[Any]) -> list[Any]:
    return list({id(item): item for item in items}.values())


def _present(item: Any) -> bool:
    return type(item) is not GradientOf or isinstance(getattr(item.leaf, "_grad", None), Tensor)


def _empty_gradients(state: Sequence[Any]) -> tuple[bool, ...]:
    """Returns, for every leaf among the state, whether it has no gradient: that decides which way backward takes."""
    bits = []
    for item in state:
        for leaf in _leaves_of(item):
            bits.append(getattr(leaf, "_grad", None) is None)
    return tuple(bits)


def _leaves_of(item: Any) -> list[Tensor]:
    if type(item) is GradientOf:
        return [item.leaf]
    if isinstance(item, Tensor):
        return [item] if type(item._node) is AccumulateGrad else []
    found = (ref() for ref in item.aliases)
    return [x for x in found if x is not None and type(x._node) is AccumulateGrad]


def _apart(program: Program, items: list[Any]) -> bool:
    state = {id(item) for item in program.state}
    return not any(id(item) in state for item in items)


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


def _result(leaf: Any, array: Any, tensors: list[Tensor]) -> Any:
    if type(leaf) is Fresh:
        return wrap(array, leaf.kind)
    if type(leaf) is Argument:
        return tensors[leaf.place]
    if type(leaf) is Alias:
        out = new(Tensor)
        out._kind, out._node, out._cell, out._array = leaf.kind, None, leaf.item, None
        out._view = leaf.view if leaf.view is not None else View(None, ())
        out._geometry = leaf.geometry
        leaf.item.add_alias(out)
        return out
    return leaf


def _hang_history(program: Program, made: list[Any], residuals: list[Any], tensors: list[Tensor]) -> None:
    outcome = program.outcome
    grown = [made[place] for place, leaf in enumerate(outcome.leaves) if type(leaf) is Fresh and leaf.requires_grad]
    if not grown:
        return
    leaves = outcome.leaves_of_template
    edges = tuple((tensors[leaf.place] if type(leaf) is Argument else leaf)._node for leaf in leaves)
    node = Node(COMPILED, edges, grown[0]._kind)
    node.plan = COMPILED.PLAN
    node.saved = (program, residuals)
    node.sources = (None, None)
    if len(grown) == 1:
        grown[0]._node = node
        return
    node.outputs = tuple((shape_of(x), x._kind) for x in grown)
    for index, x in enumerate(grown):
        x._node = Output(node, index)


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
