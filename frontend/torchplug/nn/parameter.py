"""Parameter and Buffer, the tensors a Module keeps, and their forms whose shape is not known yet."""

from __future__ import annotations

import sys
from typing import Any

from torchplug._core.device import DeviceLike, resolve
from torchplug._core.kind import Kind
from torchplug._core.modes import default_dtype
from torchplug._core.tensor import Parameter, Tensor, alias, new, wrap
from torchplug_spec import DType

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


def _new_parameter(cls: type[Parameter], data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
    """Returns a parameter on the memory of `data`, without its history; an empty one for None."""
    if data is None:
        data = _empty(None, None)
    elif not isinstance(data, Tensor):
        raise AttributeError(f"'{type(data).__name__}' object has no attribute 'detach'")
    parameter: Parameter = alias(data).as_subclass(cls)
    if requires_grad:
        if not data._kind.inexact:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        parameter.requires_grad_()
    return parameter


def _empty(device: Any, dtype: DType | None) -> Tensor:
    engine, native = resolve(device)
    kind = engine.kind(dtype or default_dtype(), native)
    return wrap(kind.F.full((0,), 0, kind.dtype, native), kind)


def _deepcopy_parameter(self: Parameter, memo: dict[int, Any]) -> Parameter:
    """Copies values and requires_grad; neither the gradient nor Python attributes, as PyTorch does."""
    if id(self) not in memo:
        memo[id(self)] = type(self)(self.detach().clone(), self._node is not None)
    return memo[id(self)]


# Parameter lives in the core, where hot paths test for it; what constructing one means is said here. Tensors of the
# class are otherwise made from slots, past `__new__`.
Parameter.__new__ = staticmethod(_new_parameter)  # type: ignore[assignment]  # attached here
Parameter.__deepcopy__ = _deepcopy_parameter  # type: ignore[method-assign, assignment]  # attached here
Parameter.__module__ = __name__


class _BufferType(type):
    """Lets isinstance see any tensor made by `Buffer(...)`: PyTorch's Buffer is a plain tensor with a mark."""

    def __instancecheck__(cls, instance: Any) -> bool:
        if cls is Buffer:
            return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)
        return type.__instancecheck__(cls, instance)


class Buffer(Tensor, metaclass=_BufferType):
    """A tensor that a Module registers as a buffer when it is assigned; `persistent` buffers are part of the
    state_dict.
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = _empty(None, None)
        buffer = alias(data)
        if data._node is not None:
            buffer.requires_grad_()
        buffer.persistent = persistent  # type: ignore[attr-defined]  # plain tensors have it when they are buffers
        buffer._is_buffer = True
        return buffer


_SHAPE_UNKNOWN = (
    "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
    "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call `forward` to "
    "initialize the parameters before accessing their attributes."
)

_CANNOT_SHARE = (
    "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters before "
    "calling `module.share_memory()`."
)

# The real place of the engine array: the classes below put a property over it.
_slot = Tensor._array


class _Uninitialized:
    """A tensor whose shape is not known: has a dtype and a device, and refuses to be computed with until
    `materialize`.
    """

    __slots__ = ()
    cls_to_become: type
    _kind: Kind
    _node: Any

    def materialize(self, shape: Any, device: DeviceLike = None, dtype: DType | None = None) -> None:
        """Gives the tensor memory of a shape, with any values, and turns it into a Parameter (or a buffer)."""
        x: Any = self
        made = x.data.new_empty(shape, device=device, dtype=dtype)
        x.__class__ = self.cls_to_become
        x.data = made

    @property
    def _array(self) -> Any:
        raise ValueError(
            f"Attempted to use an uninitialized parameter in {_computing_caller()}. This error happens when you are "
            f"using a `LazyModule` or explicitly manipulating `torch.nn.parameter.{type(self).__name__}` objects. "
            "When using LazyModules Call `forward` with a dummy batch to initialize the parameters before calling "
            "torch functions"
        )

    @_array.setter
    def _array(self, array: Any) -> None:
        _slot.__set__(self, array)

    @property
    def shape(self) -> Any:
        """Raises RuntimeError: there is none yet."""
        raise RuntimeError(_SHAPE_UNKNOWN)

    @property
    def data(self) -> Tensor:
        """An empty tensor of this dtype and device; assigning one changes them."""
        return wrap(_slot.__get__(self), self._kind)

    @data.setter
    def data(self, value: Tensor) -> None:
        self._array, self._kind = value._array, value._kind  # type: ignore[misc]  # the other base has the slots

    def share_memory_(self) -> Any:
        """Raises RuntimeError: there is no memory yet."""
        raise RuntimeError(_CANNOT_SHARE)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = self._again()
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), self._arguments()

    def _again(self) -> Any:
        return type(self)(*self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return self._node is not None, self._kind.device.qualified(), self._kind.dtype

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _computing_caller() -> str:
    """Returns the name of the function that reached for the values of an uninitialized tensor."""
    return sys._getframe(2).f_code.co_name


class UninitializedParameter(_Uninitialized, Parameter):
    """A Parameter whose shape comes with the first input; see `LazyLinear`."""

    __slots__ = ()
    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: DeviceLike = None, dtype: DType | None = None) -> Any:
        made: Any = _placed(cls, _empty(device, dtype))
        return made.requires_grad_() if requires_grad else made


class UninitializedBuffer(_Uninitialized, Tensor):
    """A buffer whose shape comes with the first input; becomes a plain Tensor."""

    __slots__ = ()
    cls_to_become = Tensor

    def __new__(
        cls, requires_grad: bool = False, device: DeviceLike = None, dtype: DType | None = None, persistent: bool = True
    ) -> Any:
        made: Any = _placed(cls, _empty(device, dtype))
        made.persistent = persistent
        made._is_buffer = True
        return made.requires_grad_() if requires_grad else made


def _placed(cls: type, source: Tensor) -> Any:
    made: Any = new(cls)
    made._array, made._kind, made._node, made._cell = source._array, source._kind, None, None
    return made


def is_lazy(tensor: Any) -> bool:
    """Says whether a parameter or buffer still waits for its shape."""
    return isinstance(tensor, _Uninitialized)
