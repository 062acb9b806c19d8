"""Checked replay: the calls of one run are recorded, then made again on other arrays, and each result is inspected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torchplug_strict.array import StrictArray, hidden
from torchplug_strict.calls import current_recording, recording_to

__all__ = ["Recording", "compiled", "is_recorded"]


class Recording:
    """The calls of one run that follow from its inputs. Arrays are told apart by identity, so all of them are kept."""

    def __init__(self, inputs: Sequence[StrictArray]) -> None:
        self.inputs = list(inputs)
        self.calls: list[tuple[str, Callable[..., StrictArray], tuple[Any, ...], StrictArray]] = []
        self.results: list[Any] = []
        self.known = {id(array) for array in inputs}

    def add(
        self, name: str, function: Callable[..., StrictArray], arguments: tuple[Any, ...], result: StrictArray
    ) -> None:
        if any(id(array) in self.known for array in _arrays(arguments)):
            self.calls.append((name, function, arguments, result))
            self.known.add(id(result))

    def replay(self, inputs: Sequence[StrictArray]) -> list[Any]:
        """Returns the results for other inputs; RuntimeError when a call gives another shape or type than before."""
        now: dict[int, StrictArray] = {}
        for place, (old, new) in enumerate(zip(self.inputs, inputs, strict=True)):
            _must_be_like(f"input {place}", new, old)
            now[id(old)] = new
        for name, function, arguments, result in self.calls:
            again = function(*(_replaced(argument, now) for argument in arguments))
            _must_be_like(name, again, result)
            now[id(result)] = again
        return [now.get(id(result), result) for result in self.results]

    def check(self) -> None:
        """Raises RuntimeError when the recorded calls do not lead from the recorded inputs to the recorded results."""
        for place, (again, result) in enumerate(zip(self.replay(self.inputs), self.results, strict=True)):
            if hidden(again).tobytes() != hidden(result).tobytes():
                raise RuntimeError(f"the replay differs from what it replays in result {place} of {len(self.results)}")


def _arrays(arguments: Any) -> Iterator[StrictArray]:
    for argument in arguments:
        if type(argument) is StrictArray:
            yield argument
        elif isinstance(argument, (list, tuple)):
            yield from _arrays(argument)


def _replaced(argument: Any, now: dict[int, StrictArray]) -> Any:
    if isinstance(argument, list):
        return [_replaced(item, now) for item in argument]
    return now.get(id(argument), argument) if type(argument) is StrictArray else argument


def _must_be_like(name: str, new: StrictArray, old: StrictArray) -> None:
    if (new.shape, new.dtype) != (old.shape, old.dtype):
        raise RuntimeError(f"the replay of {name} got {new!r}, expected {old!r} as when it was recorded")


def is_recorded(array: Any) -> bool:
    """Returns whether an array follows from the inputs of the run being recorded, so that it will differ later."""
    recording = current_recording()
    return recording is not None and id(array) in recording.known


def compiled(function: Callable[..., Any]) -> Callable[[Sequence[StrictArray]], list[Any]]:
    """Returns `function`, from a list of arrays to a list of arrays, recorded once per shapes and types, then replayed."""
    recordings: dict[Any, Recording] = {}

    def run(arrays: Sequence[StrictArray]) -> list[Any]:
        key = tuple((array.shape, array.dtype) for array in arrays)
        recording = recordings.get(key)
        if recording is None:
            # Arrays of their own: one array given twice is two inputs.
            recording = Recording([array[(...,)] for array in arrays])
            with recording_to(recording):
                recording.results = list(function(list(recording.inputs)))
            recording.check()
            recordings[key] = recording
        return recording.replay(arrays)

    return run
