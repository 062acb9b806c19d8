"""Tracing a function over tensors into a pure function over arrays, state found on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from torchplug._compile.memory import GradientOf, Snapshot, install, value_of
from torchplug._compile.tree import flatten
from torchplug._compile.watch import watched
from torchplug._core.node import AccumulateGrad
from torchplug._core.tensor import Tensor, array_of, geometry_of
from torchplug._core.tracing import trace_state

__all__ = ["Alias", "Argument", "Fresh", "Observation", "Program", "Retrace", "SideEffects", "trace_program"]


class SideEffects(Exception):
    """The function does something a replay would not do; the text says what."""


class _Again(Exception):
    """The trace met state or host inputs it did not know; it starts anew with them as inputs."""


class Retrace(Exception):
    """The engine wants the trace again (an input's type changed in a way only it sees)."""


class HostInput:
    """A number or array made on the host at every run: random draws (of a `host` generator), learning rates."""

    __slots__ = ("host", "kind", "produce")

    def __init__(self, kind: Any, produce: Callable[[], np.ndarray], host: Any = None) -> None:
        self.kind = kind
        self.produce = produce
        self.host = host

    def array(self) -> Any:
        return self.kind.F.from_numpy(self.produce(), self.kind.native_device)


class HyperInput:
    """A hyperparameter of an optimizer's group, which is read at every run and taken to the device when it is another."""

    __slots__ = ("group", "held", "host", "kind", "name", "value")

    def __init__(self, group: dict[str, Any], name: str, kind: Any) -> None:
        self.group = group
        self.name = name
        self.kind = kind
        self.host = None
        self.value: Any = None
        self.held: Any = None

    def array(self) -> Any:
        value = self.group[self.name]
        if value is not self.value or self.held is None:
            kind = self.kind
            self.held = kind.F.from_numpy(np.asarray(value, kind.dtype.numpy), kind.native_device)
            # A list may be another one inside; it is read anew every time.
            self.value = value if type(value) in (int, float, tuple) else None
        return self.held


class Observation:
    """Watches one eager run: which live arrays it reads."""

    def __init__(self, snapshot: Snapshot, exempt: set[tuple[int, str]]) -> None:
        self.places = snapshot.places()
        self.read: dict[int, Any] = {}
        self.exempt = exempt
        self.groups: list[Any] = []

    def sees(self, array: Any) -> None:
        item = self.places.get(id(array))
        if item is not None:
            self.read.setdefault(_key(item), item)

    def refuses(self, array: Any) -> bool:
        return False

    def host_input(self, kind: Any, host: Any, method: str, args: tuple) -> Any:
        return kind.F.from_numpy(getattr(host, method)(*args), kind.native_device)

    def hyper(self, group: dict[str, Any], name: str, kind: Any) -> Any:
        self.exempt.add((id(group), name))
        self.groups.append(group)
        return group[name]


def _key(item: Any) -> int:
    return id(item.leaf) + 1 if type(item) is GradientOf else id(item)


class _Tracing:
    """The trace in progress: gives tracers for host inputs, refuses live arrays that are not yet inputs."""

    def __init__(self, program: Program, places: dict[int, Any]) -> None:
        self.program = program
        self.places = places
        self.known = {_key(item) for item in (*program.argument_items, *program.state)}
        self.host_arrays: Sequence[Any] = ()
        self.asked = 0
        self.missed: list[Any] = []
        hosts = {id(made.host): made.host for made in program.host_inputs if made.host is not None}
        self.started = {key: (host, host.get_state()) for key, host in hosts.items()}
        self.finished = False

    def sees(self, array: Any) -> None:
        item = self.places.get(id(array))
        if item is not None and _key(item) not in self.known:
            self.known.add(_key(item))
            self.missed.append(item)

    def refuses(self, array: Any) -> bool:
        """Whether reading this concrete array's value on the host would bake live state into the program."""
        return id(array) in self.places

    def host_input(self, kind: Any, host: Any, method: str, args: tuple) -> Any:
        if id(host) not in self.started:
            self.started[id(host)] = (host, host.get_state())
        return self._ask(HostInput(kind, lambda: getattr(host, method)(*args), host))

    def hyper(self, group: dict[str, Any], name: str, kind: Any) -> Any:
        self.program.exempt.add((id(group), name))
        self.program.groups.append(group)
        return self._ask(HyperInput(group, name, kind))

    def _ask(self, made: Any) -> Any:
        place, self.asked = self.asked, self.asked + 1
        if place < len(self.host_arrays):
            self.program.host_inputs[place] = made
            return self.host_arrays[place]
        self.program.host_inputs.append(made)
        return made.array()

    def rewind(self) -> None:
        for host, state in self.started.values():
            host.set_state(state)


class Program:
    """A traced function: its inputs (arguments, state, host inputs), its compiled form and what its results mean."""

    def __init__(
        self, engine: Any, arguments: list[Tensor], argument_items: list[Any], state: list[Any], exempt: set
    ) -> None:
        self.engine = engine
        self.arguments = arguments
        self.argument_items = argument_items
        self.places = {id(item): place for place, item in enumerate(argument_items)}
        self.state = state
        self.exempt = exempt
        self.groups: list[Any] = []
        self.host_inputs: list[Any] = []
        self.traced: Any = None
        self.outcome: Any = None

    def inputs(self, argument_items: Sequence[Any], hosts: Sequence[Any]) -> list[Any]:
        return [*(value_of(item) for item in argument_items), *(value_of(item) for item in self.state), *hosts]


class Outcome:
    """What one trace produced: leaves of the result, writes, gradients, versions, and the arrays that carry them."""

    def __init__(self) -> None:
        self.structure: Any = None
        self.leaves: list[Any] = []
        self.writes: list[tuple[Any, int]] = []
        self.gradients: list[tuple[Any, Any]] = []
        self.gradient_kinds: list[Any] = []
        self.leaves_of_template: list[Any] = []
        self.arrays: list[Any] = []
        self.template: Any = None


def trace_program(program: Program, function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> None:
    """Traces until all state is known, leaving the compiled function and its outcome on the program.

    Everything the trace touched is put back. Raises SideEffects when a replay could not do what the function does.
    """
    for _ in range(12):
        snapshot = Snapshot(program.engine)
        program.state = [item for item in program.state if snapshot.has(item)]
        tracing = _Tracing(program, snapshot.places())
        hosts = [made.array() for made in program.host_inputs]
        failure: list[BaseException] = []

        def pure(
            arrays: list[Any], tracing: Any = tracing, snapshot: Any = snapshot, failure: Any = failure
        ) -> list[Any]:
            if tracing.finished:
                raise Retrace
            try:
                return _run(program, tracing, snapshot, function, args, kwargs, arrays)
            except BaseException as error:
                failure.append(error)
                raise

        inputs = program.inputs(program.argument_items, hosts)
        token = trace_state.set(tracing)
        try:
            with watched(program.engine, tracing):
                traced = _traced(program.engine.backend, pure, inputs)
        except _Again:
            continue
        except Exception:
            if not failure:
                raise
            if not isinstance(failure[0], _Again):
                raise failure[0] from None
            failure[0].__traceback__ = None  # its frames hold the tensors of the trace
            continue
        finally:
            tracing.finished = True
            trace_state.reset(token)
            snapshot.restore()
            tracing.rewind()
        program.traced = traced
        outcome = program.outcome
        outcome.arrays = [None] * len(outcome.arrays)  # traced values, of no more use
        return
    raise SideEffects("its state does not settle")


def _traced(backend: Any, pure: Callable[..., Any], inputs: list[Any]) -> Callable[..., Any]:
    """Returns a function over arrays that runs no Python of the user's: the engine's trace, or its compiled function."""
    trace = getattr(backend, "trace", None)
    if trace is not None:
        made: Callable[..., Any] = trace(pure, inputs)
        return made
    compiled: Callable[..., Any] = backend.compile(pure)
    compiled(inputs)
    return compiled


def _run(
    program: Program, tracing: Any, snapshot: Any, function: Any, args: Any, kwargs: Any, arrays: list[Any]
) -> list[Any]:
    items = [*program.argument_items, *program.state]
    for item, array in zip(items, arrays, strict=False):
        install(item, array)
    tracing.host_arrays = arrays[len(items) :]
    tracing.asked = 0
    result = function(*args, **kwargs)
    if tracing.missed or tracing.asked > len(tracing.host_arrays):
        program.state += tracing.missed
        raise _Again
    outcome = _collect(program, snapshot, result, dict(zip(map(_key, items), arrays, strict=False)))
    if outcome is None:
        raise _Again
    program.outcome = outcome
    return outcome.arrays


def _collect(program: Program, snapshot: Snapshot, result: Any, installed: dict[int, Any]) -> Outcome | None:
    outcome = Outcome()
    leaves, outcome.structure = flatten(result)
    if snapshot.rebound():
        raise SideEffects("it gives a tensor other memory (.data = or set_)")
    known = installed
    changed = [item for item in snapshot.written() if not _holds(item, known.get(_key(item)))]
    unknown = [item for item in changed if _key(item) not in known]
    if unknown:
        program.state += unknown
        return None
    for item in (*program.argument_items, *program.state):
        if type(item) is GradientOf and not _holds(item, known[_key(item)]) and not _replaced(snapshot, item.leaf):
            changed.append(item)
    bumps = snapshot.versions()
    outcome.writes = [(_named(program, item), bumps.get(id(item), 0)) for item in changed]
    gradients = snapshot.new_gradients()
    _check_histories(snapshot)
    outcome.leaves = [_leaf(program, snapshot, leaf) for leaf in leaves]
    arrays = [array_of(leaf.tensor) for leaf in outcome.leaves if type(leaf) is Fresh]
    arrays += [value_of(item) for item in changed]
    arrays += [array_of(g) for _, g in gradients if g is not None]
    outcome.arrays = arrays
    outcome.gradients = [(_named_leaf(program, leaf), None if g is None else g._kind) for leaf, g in gradients]
    _attach_template(program, outcome)
    for leaf in outcome.leaves:
        if type(leaf) is Fresh:
            leaf.tensor = None
    return outcome


def _named(program: Program, item: Any) -> Any:
    """Returns an item, or its place among the arguments: another call brings another object."""
    place = program.places.get(id(item))
    if place is not None:
        return Argument(place)
    if type(item) is GradientOf and any(item.leaf is x for x in program.arguments):
        raise SideEffects("it adds to the gradient of an argument")
    return item


def _named_leaf(program: Program, leaf: Tensor) -> Any:
    for place, argument in enumerate(program.arguments):
        if argument is leaf:
            return Argument(place)
    return leaf


def _holds(item: Any, array: Any) -> bool:
    if type(item) is GradientOf and not isinstance(getattr(item.leaf, "_grad", None), Tensor):
        return True
    return value_of(item) is array


def _replaced(snapshot: Snapshot, leaf: Tensor) -> bool:
    return any(changed is leaf for changed, _ in snapshot.new_gradients())


class Fresh:
    """A result tensor computed by the program."""

    __slots__ = ("kind", "requires_grad", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor: Any = tensor
        self.kind = tensor._kind
        self.requires_grad = tensor._node is not None


class Alias:
    """A result that looks into an argument's or the state's memory."""

    __slots__ = ("geometry", "item", "kind", "view")

    def __init__(self, item: Any, tensor: Tensor) -> None:
        self.item = item
        self.geometry = geometry_of(tensor)
        self.kind = tensor._kind
        self.view = tensor._view


def _leaf(program: Program, snapshot: Snapshot, leaf: Any) -> Any:
    if not isinstance(leaf, Tensor):
        _check_for_tensors(snapshot, leaf)
        return leaf
    if id(leaf) in snapshot.known:
        for place, argument in enumerate(program.arguments):
            if argument is leaf:
                return Argument(place)
        return leaf
    if leaf._cell is not None and id(leaf._cell) in snapshot.cells:
        if leaf._cell in program.argument_items or leaf._node is not None:
            raise SideEffects("it returns a view of an argument or of state that has a history")
        return Alias(leaf._cell, leaf)
    return Fresh(leaf)


def _check_for_tensors(snapshot: Snapshot, leaf: Any) -> None:
    """Raises SideEffects for an object that carries new tensors: every replay would return those of the trace."""
    for part in flatten(list(getattr(leaf, "__dict__", {}).values()))[0]:
        if isinstance(part, Tensor) and id(part) not in snapshot.known:
            raise SideEffects(
                f"it returns a {type(leaf).__name__} with tensors in it; return them in tuples, lists or dicts"
            )


class Argument:
    """A result that is one of the arguments."""

    __slots__ = ("place",)

    def __init__(self, place: int) -> None:
        self.place = place


def _check_histories(snapshot: Snapshot) -> None:
    for tensor in snapshot.new_histories():
        if type(tensor._node) is not AccumulateGrad:
            raise SideEffects("it writes a tensor from outside under autograd, so that its history leaves the function")


def _attach_template(program: Program, outcome: Outcome) -> None:
    grown = [leaf for leaf in outcome.leaves if type(leaf) is Fresh and leaf.requires_grad]
    if not grown:
        return
    from torchplug._compile.backward import make_template

    outcome.gradient_kinds = [leaf.kind for leaf in grown]
    outcome.template = make_template(program, outcome)
    if outcome.template is not None:
        outcome.leaves_of_template = [_named_leaf(program, leaf) for leaf in outcome.template.leaves]
