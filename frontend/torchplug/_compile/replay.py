"""Running a traced program: state read, old memory given to the engine for the new values, results put in their places."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from sys import getrefcount
from time import perf_counter
from typing import Any

from torchplug._compile.backward import COMPILED
from torchplug._compile.memory import GradientOf, install, value_of
from torchplug._compile.trace import Alias, Argument, Fresh, Program
from torchplug._compile.tree import rebuild
from torchplug._core.node import AccumulateGrad, Node, Output
from torchplug._core.tensor import Storage, Tensor, View, array_of, new, shape_of, wrap

__all__ = ["Replay", "distinct"]

_WORTH_GIVING = 1 << 14
"""Elements of a gradient from which on its memory is worth one more input of the program, a microsecond."""

_HELD_ONCE = 3
"""References to an array that one storage holds, as seen where it is asked: the storage, a variable, the question."""


class Replay:
    """One compiled program with everything about a call that does not change from call to call.

    The memory of state that every call writes is given away (donated), so that a step needs no second copy of the
    parameters; so is that of gradients that the call replaces. An array that anybody else holds is copied first.
    """

    def __init__(self, program: Program, trace_seconds: float) -> None:
        self.program = program
        self.trace_seconds = trace_seconds
        self.compile_seconds = 0.0
        self.calls = 0
        outcome = program.outcome
        self._fresh = [place for place, leaf in enumerate(outcome.leaves) if type(leaf) is Fresh]
        self._duplicate: Callable[[Any], Any] | None = getattr(program.engine.backend, "duplicate", None)
        donates = self._duplicate is not None
        state = {id(item) for item in program.state}
        # In the order of their new values: engines put equal sizes into each other's memory in order.
        self._given = [item for item, _ in outcome.writes if donates and type(item) is Storage and id(item) in state]
        given = {id(item) for item in self._given}
        self._forgotten = given
        self._kept = [item for item in program.state if id(item) not in given]
        self._leaves = leaves_of(program.state)
        self._scratch = self._replaced_gradients() if donates else []
        self._order = self._order_of_state()
        self._empty = self._gradients_absent()
        self._state = state
        self._compiled = self._compile()

    def statistics(self) -> dict[str, Any]:
        """Returns what tracing and compiling took, how often this ran, and how many arrays go in and out."""
        outcome = self.program.outcome
        return {
            "trace_seconds": self.trace_seconds,
            "compile_seconds": self.compile_seconds,
            "calls": self.calls,
            "inputs": len(self.program.state) + len(self.program.host_inputs) + len(self._scratch),
            "outputs": len(outcome.arrays),
        }

    # ---- whether it fits a call --------------------------------------------------------------------------------------

    def fits(self, items: Sequence[Any]) -> bool:
        """Says whether the same leaves have no gradient as when this was traced, and no argument is state."""
        if self._gradients_absent() != self._empty:
            return False
        state = self._state
        return not any(id(item) in state for item in items)

    def _gradients_absent(self) -> list[bool]:
        return [getattr(leaf, "_grad", None) is None for leaf in self._leaves]

    # ---- compiling ---------------------------------------------------------------------------------------------------

    def _replaced_gradients(self) -> list[Tensor]:
        """Returns leaves whose gradient is replaced unread by one that needs as much memory."""
        read = {id(item.leaf) for item in self.program.state if type(item) is GradientOf}
        asked = {id(leaf) for leaf in self._leaves}
        return [
            leaf
            for leaf, kind in self.program.outcome.gradients
            if isinstance(leaf, Tensor)
            and kind is leaf._kind
            and id(leaf) in asked
            and id(leaf) not in read
            and isinstance(getattr(leaf, "_grad", None), Tensor)
            and shape_of(leaf._grad) == shape_of(leaf)
            and math.prod(shape_of(leaf)) >= _WORTH_GIVING
        ]

    def _order_of_state(self) -> list[int]:
        """Returns where each item of the program's state comes in a call's order: first those given away."""
        places = {id(item): place for place, item in enumerate([*self._given, *self._kept])}
        return [places[id(item)] for item in self.program.state]

    def _compile(self) -> Callable[[list[Any]], Any]:
        traced, order = self.program.traced, self._order
        if self._duplicate is None:
            return traced
        given, scratch, held = len(self._given), len(self._scratch), len(self._kept)
        fresh = len(self._fresh)

        def step(arrays: list[Any]) -> Any:
            state = [*arrays[:given], *arrays[given + scratch : given + scratch + held]]
            rest = arrays[given + scratch + held :]
            count = len(rest) - len(self.program.host_inputs)
            made = list(traced([*rest[:count], *[state[place] for place in order], *rest[count:]]))
            # New state first, in the order of the old: an engine that pairs equal sizes in order then copies nothing.
            return [*made[fresh:], *made[:fresh]]

        return self.program.engine.backend.compile(step, donate=tuple(range(given + scratch)))

    # ---- running -----------------------------------------------------------------------------------------------------

    def run(self, tensors: list[Tensor], items: list[Any]) -> Any:
        """Returns what the function returns, with all state written as the function writes it."""
        program = self.program
        arguments = distinct(items)
        outside = [value_of(item) for item in arguments]
        hosts = [made.array() for made in program.host_inputs]
        if self._duplicate is None:
            inputs = [*outside, *map(value_of, program.state), *hosts]
        else:
            inputs = self._inputs(self._duplicate)
            inputs += outside
            inputs += hosts
        start = 0.0 if self.calls else perf_counter()
        arrays = self._compiled(inputs)
        if not self.calls:
            self.compile_seconds = perf_counter() - start
        self.calls += 1
        del inputs
        return self._take(arrays, tensors, arguments)

    def _inputs(self, duplicate: Callable[[Any], Any]) -> list[Any]:
        inputs = []
        for cell in self._given:
            cell.forget()
            array = cell.array
            if array is None:
                array = cell.read()
            inputs.append(array if getrefcount(array) <= _HELD_ONCE else duplicate(array))
        array = None
        for leaf in self._scratch:
            inputs.append(_scratch_of(leaf._grad, duplicate))
        for item in self._kept:
            inputs.append(item.read() if type(item) is Storage else value_of(item))
        return inputs

    def _take(self, arrays: Sequence[Any], tensors: list[Tensor], arguments: list[Any]) -> Any:
        outcome = self.program.outcome
        count, forgotten = len(self._fresh), self._forgotten
        if self._duplicate is None:
            fresh, rest = arrays[:count], iter(arrays[count:])
        else:
            fresh, rest = arrays[len(arrays) - count :], iter(arrays[: len(arrays) - count])
        for item, bumps in outcome.writes:
            if type(item) is Storage:
                if id(item) not in forgotten:
                    item.forget()
                item.array, item.mirror = next(rest), None
                item.version += bumps
            else:
                install(arguments[item.place] if type(item) is Argument else item, next(rest), bumps)
        for leaf, kind in outcome.gradients:
            target = tensors[leaf.place] if type(leaf) is Argument else leaf
            target._grad = None if kind is None else wrap(next(rest), kind)
        made = list(outcome.leaves)
        for place, array in zip(self._fresh, fresh, strict=True):
            made[place] = wrap(array, made[place].kind)
        made = [leaf if type(leaf) is Tensor else _result(leaf, tensors) for leaf in made]
        if outcome.gradient_kinds:
            _hang_history(self.program, made, list(rest), tensors)
        return rebuild(outcome.structure, iter(made))


def _scratch_of(grad: Tensor, duplicate: Callable[[Any], Any]) -> Any:
    """Returns the array of a gradient that is about to be replaced; a copy if anybody could still read it."""
    array = array_of(grad)
    # The gradient is held by its leaf and here (and by the question); the array by the gradient, here and the question.
    alone = grad._cell is None and getrefcount(grad) <= _HELD_ONCE + 1 and getrefcount(array) <= _HELD_ONCE
    return array if alone else duplicate(array)


def distinct(items: Sequence[Any]) -> list[Any]:
    """Returns every item once, in order."""
    return list({id(item): item for item in items}.values())


def leaves_of(state: Sequence[Any]) -> list[Tensor]:
    """Returns the leaves among the state: whether they have a gradient decides which way backward takes."""
    found: list[Tensor] = []
    for item in state:
        if type(item) is GradientOf:
            found.append(item.leaf)
        elif isinstance(item, Tensor):
            found.append(item)
        else:
            found += [x for x in (ref() for ref in item.aliases) if x is not None]
    return [x for x in found if type(x._node) is AccumulateGrad]


def _result(leaf: Any, tensors: list[Tensor]) -> Any:
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
