"""An engine with a compiler small enough to read: it records the calls of one run and makes them again on other arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torchplug_spec import kernel, required_functions
from torchplug_strict import StrictArray, StrictBackend

__all__ = ["TapeBackend"]

ON_THE_HOST = ("devices", "device_of", "synchronize", "to_numpy")


class Tape:
    """The calls of one run. Arrays are told apart by identity, so all of them are kept."""

    def __init__(self, inputs: Sequence[StrictArray]) -> None:
        self.inputs = list(inputs)
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], Any]] = []
        self.known = {id(array) for array in inputs}

    def add(self, function: Callable[..., Any], arguments: tuple[Any, ...], result: Any) -> None:
        if any(id(array) in self.known for array in _arrays(arguments)):
            self.calls.append((function, arguments, result))
            self.known.add(id(result))

    def replay(self, inputs: Sequence[StrictArray]) -> dict[int, Any]:
        """Returns what each array of the recorded run is for other inputs, by identity."""
        now = {id(old): new for old, new in zip(self.inputs, inputs, strict=True)}
        for function, arguments, result in self.calls:
            now[id(result)] = function(*(_replaced(argument, now) for argument in arguments))
        return now


def _arrays(arguments: Any) -> list[StrictArray]:
    if isinstance(arguments, (list, tuple)):
        return [array for argument in arguments for array in _arrays(argument)]
    return [arguments] if isinstance(arguments, StrictArray) else []


def _replaced(argument: Any, now: dict[int, Any]) -> Any:
    if isinstance(argument, list):
        return [_replaced(item, now) for item in argument]
    return now.get(id(argument), argument) if isinstance(argument, StrictArray) else argument


class TapeBackend(StrictBackend):
    """The strict engine with the capability to compile."""

    name = "tape"
    capabilities = StrictBackend.capabilities | {"compile"}

    def __init__(self) -> None:
        super().__init__()
        self.tape: Tape | None = None

    def compile(self, fn: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """Returns `fn` recorded once per shapes and types, then replayed."""
        programs: dict[Any, tuple[Tape, list[Any]]] = {}

        def run(arrays: Sequence[StrictArray]) -> list[Any]:
            key = tuple((array.shape, array.dtype) for array in arrays)
            if key not in programs:
                # Views of the arguments: one array given twice is two inputs.
                inputs = [array[...] for array in arrays]
                self.tape = Tape(inputs)
                try:
                    programs[key] = self.tape, list(fn(list(inputs)))
                finally:
                    self.tape = None
            tape, results = programs[key]
            now = tape.replay(arrays)
            return [now.get(id(result), result) for result in results]

        return run

    def is_tracer(self, x: Any) -> bool:
        return self.tape is not None and id(x) in self.tape.known

    def to_numpy(self, x: Any) -> Any:
        if self.is_tracer(x):
            raise TypeError("an array inside compile has no values yet")
        return super().to_numpy(x)

    @kernel("slice")
    def sliced(self, x: StrictArray, key: tuple[Any, ...]) -> StrictArray:
        """Returns a basic slice; indexing itself would not pass the tape."""
        return self._noted(lambda x, key: x[(*key, ...)], (x, key))

    def _noted(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        tape, self.tape = self.tape, None  # what a function calls inside is part of it
        try:
            result = function(*arguments)
        finally:
            self.tape = tape
        if tape is not None:
            tape.add(function, arguments, result)
        return result


def _taped(name: str) -> Callable[..., Any]:
    def method(self: TapeBackend, *arguments: Any) -> Any:
        return self._noted(lambda *given: getattr(super(TapeBackend, self), name)(*given), arguments)

    return method


for _name in (*required_functions(), "real", "imag", "conj", "complex"):
    if _name not in ON_THE_HOST:
        setattr(TapeBackend, _name, _taped(_name))
