"""A machine for pickles that only knows data: it calls nothing but what `safe_globals` lists, and has no way round that."""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from pickle import UnpicklingError, decode_long
from typing import Any

import numpy as np

from torchplug._core.random import Generator
from torchplug._core.tensor import Tensor
from torchplug.serialization import numpy_values, rebuilding
from torchplug.serialization.safe_globals import Allowed, find_allowed, user_globals

__all__ = ["Unpickler", "globals_of"]

_MOST_OPERATIONS = 20_000_000
"""Enough for half a million tensors; a bound on time, and on the depth of the stack."""
_LONGEST_NUMBER = 4096


class Unpickler:
    """Reads one pickle from `file` (with `read` and `readline`); `persistent_load(id)` answers for storages.

    Raises pickle.UnpicklingError for anything but data and allowed names, and EOFError for an empty file.
    """

    def __init__(self, file: Any, persistent_load: Callable[[Any], Any] | None = None, encoding: str = "utf-8") -> None:
        self.file = file
        self.persistent_load = persistent_load
        self.encoding = encoding
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.named: dict[int, Allowed] = {}
        """What names were resolved to, by the identity of the value: only these can be called."""
        self.made: dict[int, Any] = {}
        """Objects made by NEWOBJ and by user functions: only these, and a few known types, can be filled by BUILD."""

    def load(self) -> Any:
        """Returns the object."""
        read = self.file.read
        operations = _OPERATIONS
        try:
            for _ in range(_MOST_OPERATIONS):
                code = read(1)
                if code == b".":
                    return self._result()
                operation = operations.get(code)
                if operation is None:
                    if not code:
                        raise EOFError("Ran out of input")
                    raise UnpicklingError(f"Unsupported operand {code[0]}")
                operation(self)
            raise UnpicklingError("the pickle has too many operations")
        except (UnpicklingError, EOFError):
            raise
        except (IndexError, KeyError, struct.error, UnicodeError, ValueError, OverflowError, MemoryError) as error:
            raise UnpicklingError(f"the pickle is damaged ({type(error).__name__}: {error})") from None

    def _result(self) -> Any:
        if len(self.stack) != 1 or self.marks:
            raise UnpicklingError("the pickle is damaged: it ends with other than one object")
        return self.stack.pop()

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _take(self, size: int) -> bytes:
        data: bytes = self.file.read(size)
        if len(data) != size:
            raise UnpicklingError("pickle data was truncated")
        return data

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        line: bytes = self.file.readline(4096)
        if not line.endswith(b"\n"):
            raise UnpicklingError("pickle data was truncated")
        return line[:-1].decode("utf-8")

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _pop_mark(self) -> list[Any]:
        if not self.marks:
            raise UnpicklingError("the pickle is damaged: a group ends that never began")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise UnpicklingError("the pickle is damaged: it takes from outside a group")
        return self.stack.pop()

    # ---- names, calls, objects --------------------------------------------------------------------------------------

    def _name(self, module: str, name: str) -> None:
        allowed = find_allowed(module, name)
        if allowed is None:
            raise UnpicklingError(_refusal(module, name))
        self.named[id(allowed.value)] = allowed
        self._push(allowed.value)

    def _global(self) -> None:
        module = self._line()
        self._name(module, self._line())

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise UnpicklingError("the pickle is damaged: a name is not text")
        self._name(module, name)

    def _reduce(self) -> None:
        args, function = self._pop(), self._pop()
        allowed = self.named.get(id(function))
        if allowed is None or allowed.call is None:
            raise UnpicklingError(f"Trying to call reduce for unrecognized function {_described(function)}")
        if type(args) is not tuple:
            raise UnpicklingError(f"got arguments of type {type(args).__name__}, expected a tuple")
        self._push(self._keep(self._called(allowed.call, args)))

    def _called(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        try:
            return function(*args)
        except (TypeError, RecursionError, AttributeError) as error:
            raise UnpicklingError(f"{_described(function)} cannot be called like this: {error}") from None

    def _new(self) -> None:
        args, cls = self._pop(), self._pop()
        allowed = self.named.get(id(cls))
        if allowed is None or allowed.make is None:
            raise UnpicklingError(
                "Can only create new object for nn.Parameter or classes allowlisted via `add_safe_globals` but got "
                f"{_described(cls)}"
            )
        if type(args) is not tuple:
            raise UnpicklingError(f"got arguments of type {type(args).__name__}, expected a tuple")
        self._push(self._keep(self._called(allowed.make, args)))

    def _keep(self, made: Any) -> Any:
        self.made[id(made)] = made
        return made

    def _build(self) -> None:
        state = self._pop()
        if not self.stack:
            raise UnpicklingError("the pickle is damaged: nothing to fill")
        self._fill(self.stack[-1], state)

    def _fill(self, target: Any, state: Any) -> None:
        if self.made.get(id(target)) is not target:
            raise UnpicklingError(_cannot_build(target))
        if type(target) is OrderedDict:
            target.__dict__.update(_attributes(state))
        elif type(target) is np.dtype or isinstance(target, np.dtype):
            numpy_values.fill_dtype(target, state)
        elif type(target) is np.ndarray:
            numpy_values.fill_array(target, state)
        elif type(target) is Generator:
            rebuilding.fill_generator(target, state)
        elif isinstance(target, Tensor) and type(target).__module__.startswith("torchplug."):
            raise UnpicklingError("got a tensor in the form of PyTorch before 0.4, expected a later one")
        elif type(target).__module__.startswith("torchplug."):
            fill = getattr(target, "__setstate__", None) or target.__dict__.update
            fill(_attributes(state))
        elif type(target) in user_globals().values() or any(type(target) is value for value in user_globals().values()):
            _fill_user_object(target, state)
        else:
            raise UnpicklingError(_cannot_build(target))

    def _persistent(self) -> None:
        saved_id = self._pop()
        if self.persistent_load is None:
            raise UnpicklingError("unsupported persistent id encountered")
        self._push(self.persistent_load(saved_id))

    # ---- containers -------------------------------------------------------------------------------------------------

    def _append(self) -> None:
        item = self._pop()
        self._list().append(item)

    def _appends(self) -> None:
        items = self._pop_mark()
        self._list().extend(items)

    def _list(self) -> list[Any]:
        target = self.stack[-1]
        if type(target) is not list:
            raise UnpicklingError(f"Can only append to lists, but got {type(target)}")
        return target

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_all([key, value], "SETITEM")

    def _set_items(self) -> None:
        self._set_all(self._pop_mark(), "SETITEMS")

    def _set_all(self, items: list[Any], opcode: str) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict, Counter, defaultdict):
            raise UnpicklingError(
                f"Can only {opcode} for dict, collections.OrderedDict, collections.Counter, but got {type(target)}"
            )
        if len(items) % 2:
            raise UnpicklingError("the pickle is damaged: a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str and self.made.get(id(key)) is not key:
                rebuilding.check_key(key)
            target[key] = value

    def _add_items(self) -> None:
        items = self._pop_mark()
        target = self.stack[-1]
        if type(target) is not set:
            raise UnpicklingError(f"Can only add to sets, but got {type(target)}")
        target |= rebuilding.plain_set(items)

    def _tuple(self) -> None:
        self._push(tuple(self._pop_mark()))

    def _single(self) -> None:
        self.stack.append((self._pop(),))

    def _pair(self) -> None:
        second, first = self._pop(), self._pop()
        self.stack.append((first, second))

    def _triple(self) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self.stack.append((first, second, third))

    def _long(self, size: int) -> None:
        if size > _LONGEST_NUMBER:
            raise UnpicklingError(f"got an integer of {size} bytes, expected at most {_LONGEST_NUMBER}")
        self._push(decode_long(self._take(size)))

    def _text(self, size: int) -> None:
        self._push(str(self._take(size), "utf-8", "surrogatepass"))

    def _old_text(self, size: int) -> None:
        data = self._take(size)
        self._push(data if self.encoding == "bytes" else data.decode(self.encoding))

    def _bytes(self, size: int) -> None:
        self._push(self._take(size))

    def _put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def _get(self, place: int) -> None:
        if place not in self.memo:
            raise UnpicklingError(f"Memo value not found at index {place}")
        self._push(self.memo[place])

    def _protocol(self) -> None:
        version = self._take(1)[0]
        if version > 5:
            raise UnpicklingError(f"unsupported pickle protocol: {version}")


def _attributes(state: Any) -> dict[str, Any]:
    if type(state) is not dict or not all(type(name) is str for name in state):
        raise UnpicklingError("got a state that is not a dict of attributes by name")
    return state


def _fill_user_object(target: Any, state: Any) -> None:
    """Fills an object of a class that the user has added, as pickle does."""
    if hasattr(target, "__setstate__"):
        target.__setstate__(state)
        return
    slots = None
    if type(state) is tuple and len(state) == 2:
        state, slots = state
    if state:
        target.__dict__.update(_attributes(state))
    for name, value in _attributes(slots or {}).items():
        setattr(target, name, value)


def _described(value: Any) -> str:
    name = getattr(value, "__qualname__", None)
    return f"{getattr(value, '__module__', '')}.{name}" if isinstance(name, str) else type(value).__name__


def _cannot_build(target: Any) -> str:
    return (
        "Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, but got "
        f"{type(target)}"
    )


def _refusal(module: str, name: str) -> str:
    full_name = name if module in ("builtins", "__builtin__") else f"{module}.{name}"
    if module in ("sys", "os", "posix", "nt"):
        return f"Trying to load unsupported GLOBAL {full_name} whose module {module} is blocked."
    return (
        f"Unsupported global: GLOBAL {full_name} was not an allowed global by default. Please use "
        f"`torch.serialization.add_safe_globals([{full_name}])` or the `torch.serialization.safe_globals([{full_name}])` context "
        "manager to allowlist this global if you trust this class/function."
    )


_U = Unpickler
_OPERATIONS: dict[bytes, Callable[[Unpickler], object]] = {
    b"\x80": _U._protocol,
    b"\x95": lambda u: u._take(8) and None,  # FRAME: a hint about buffering
    b"c": _U._global,
    b"\x93": _U._stack_global,
    b"R": _U._reduce,
    b"\x81": _U._new,
    b"b": _U._build,
    b"Q": _U._persistent,
    b"(": lambda u: u.marks.append(len(u.stack)),
    b"0": lambda u: u._pop() and None,
    b"1": lambda u: u._pop_mark() and None,
    b"N": lambda u: u._push(None),
    b"\x88": lambda u: u._push(True),
    b"\x89": lambda u: u._push(False),
    b")": lambda u: u._push(()),
    b"]": lambda u: u._push([]),
    b"}": lambda u: u._push({}),
    b"\x8f": lambda u: u._push(set()),
    b"t": _U._tuple,
    b"\x85": _U._single,
    b"\x86": _U._pair,
    b"\x87": _U._triple,
    b"\x91": lambda u: u._push(rebuilding.frozen_set(u._pop_mark())),
    b"a": _U._append,
    b"e": _U._appends,
    b"s": _U._set_item,
    b"u": _U._set_items,
    b"\x90": _U._add_items,
    b"J": lambda u: u._push(u._number("<i")),
    b"K": lambda u: u._push(u._take(1)[0]),
    b"M": lambda u: u._push(u._number("<H")),
    b"G": lambda u: u._push(u._number(">d")),
    b"\x8a": lambda u: u._long(u._take(1)[0]),
    b"\x8b": lambda u: u._long(u._number("<I")),
    b"X": lambda u: u._text(u._number("<I")),
    b"\x8c": lambda u: u._text(u._take(1)[0]),
    b"\x8d": lambda u: u._text(u._number("<Q")),
    b"U": lambda u: u._old_text(u._take(1)[0]),
    b"T": lambda u: u._old_text(u._number("<I")),
    b"C": lambda u: u._bytes(u._take(1)[0]),
    b"B": lambda u: u._bytes(u._number("<I")),
    b"\x8e": lambda u: u._bytes(u._number("<Q")),
    b"\x96": lambda u: u._push(bytearray(u._take(u._number("<Q")))),
    b"q": lambda u: u._put(u._take(1)[0]),
    b"r": lambda u: u._put(u._number("<I")),
    b"\x94": lambda u: u._put(len(u.memo)),
    b"h": lambda u: u._get(u._take(1)[0]),
    b"j": lambda u: u._get(u._number("<I")),
}


def globals_of(file: Any) -> set[str]:
    """Returns the full names a pickle asks for, without making anything."""
    import pickletools

    found = set()
    texts: list[str] = []
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "GLOBAL":
            found.add(".".join(str(argument).split(" ", 1)))
        elif operation.name == "STACK_GLOBAL" and len(texts) > 1:
            found.add(f"{texts[-2]}.{texts[-1]}")
        if isinstance(argument, str) and operation.name != "GLOBAL":
            texts.append(argument)
    return found
