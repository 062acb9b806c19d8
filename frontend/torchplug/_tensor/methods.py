"""Methods of Tensor that are not functions of torch: moving, casting, making alike, and the declared functions as methods."""

from __future__ import annotations

from typing import Any, TypeVar

from torchplug._core.declare import DECLARATIONS
from torchplug._core.device import Device, DeviceLike, as_device, resolve
from torchplug._core.elementwise import convert
from torchplug._core.host import host_array
from torchplug._core.inplace import inplace_twin
from torchplug._core.node import AccumulateGrad, is_lost
from torchplug._core.op import TENSOR_SPACE, ViewOp
from torchplug._core.tensor import Tensor, cell_of, new, shape_of, wrap
from torchplug._core.view_twins import view_twin
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["attach", "read_to", "to"]

Subclass = TypeVar("Subclass", bound=Tensor)


def attach() -> None:
    """Makes every declared function a method, with its in-place twin and its other names."""
    for name, declaration in DECLARATIONS.items():
        names = (name, *declaration.aliases)
        if declaration.method:
            for known in names:
                if known not in Tensor.__dict__:
                    setattr(Tensor, known, declaration.function)
        if declaration.inplace:
            make = view_twin if isinstance(declaration.op, ViewOp) else inplace_twin
            twin = make(declaration.function)
            for known in names:
                if f"{known}_" not in Tensor.__dict__:
                    setattr(Tensor, f"{known}_", twin)


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Returns the tensor with another dtype and/or on another device: `to(dtype)`, `to(device)`, `to(device, dtype)`,
    `to(other)`; keywords dtype, device, non_blocking, copy, memory_format. Self if nothing changes and copy is False.
    """
    dtype, device, copy = read_to(args, kwargs)
    out = self
    if device is not None:
        engine, native = resolve(device)
        out = _move(out, engine, native)
    if dtype is not None:
        out = convert(out, dtype)
    return out.clone() if copy and out is self else out


def read_to(args: tuple, kwargs: dict[str, Any]) -> tuple[DType | None, Any, bool]:
    dtype, device = kwargs.pop("dtype", None), kwargs.pop("device", None)
    copy = kwargs.pop("copy", False)
    other = kwargs.pop("other", None)
    for known in ("non_blocking", "memory_format"):
        kwargs.pop(known, None)
    if kwargs:
        raise TypeError(
            f"to() received an invalid combination of arguments - got an unexpected keyword '{next(iter(kwargs))}'"
        )
    flags = []
    for arg in (*args, *(() if other is None else (other,))):
        if isinstance(arg, DType):
            dtype = arg
        elif isinstance(arg, Tensor):
            dtype, device = arg._kind.dtype, arg.device
        elif isinstance(arg, bool):
            flags.append(arg)
        elif isinstance(arg, (str, Device, int)):
            device = as_device(arg)
        elif arg is not None:
            raise TypeError(f"to() received an invalid combination of arguments - got ({type(arg).__name__})")
    if len(flags) > 1:
        copy = flags[1]
    return dtype, device, copy


def _move(x: Tensor, engine: Any, native: str) -> Tensor:
    kind = x._kind
    if kind.engine is engine:
        return x if kind.native_device == native else TENSOR_SPACE.to_device(x, native)
    target = engine.kind(kind.dtype, native)
    moved = wrap(target.F.from_numpy(host_array(x).copy(), native), target)
    if x._node is not None:
        from torchplug.ops.transfer import record_transfer

        record_transfer(x, moved)
    return moved


def _cast(name: str, dtype: DType) -> Any:
    def cast(self: Tensor, memory_format: Any = None) -> Tensor:
        return convert(self, dtype)

    cast.__name__ = name
    cast.__doc__ = f"Returns the tensor as {dtype}; itself if it is that already."
    return cast


_CASTS = {
    "float": dt.float32, "double": dt.float64, "half": dt.float16, "bfloat16": dt.bfloat16, "int": dt.int32, "long": dt.int64,
    "short": dt.int16, "char": dt.int8, "byte": dt.uint8, "bool": dt.bool_, "cfloat": dt.complex64, "cdouble": dt.complex128,
}  # fmt: skip
for _name, _dtype in _CASTS.items():
    setattr(Tensor, _name, _cast(_name, _dtype))


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """Returns the type's name ("torch.FloatTensor"), or the tensor as another type given as dtype, name or typed class."""
    from torchplug._core.naming import type_string

    if dtype is None:
        return type_string(self)
    if isinstance(dtype, DType):
        return convert(self, dtype)
    from torchplug._tensor.typed import dtype_of_name

    found, device = dtype_of_name(dtype)
    return to(self, dtype=found, device=device)


Tensor.type = type_  # type: ignore[method-assign, assignment]  # attached here


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """Returns self with the dtype and device of other."""
    return to(self, other)


def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """Returns the tensor on the CPU: of its own engine where that has one, else of the default backend."""
    if self._kind.device.type == "cpu":
        return self
    engine = self._kind.engine
    names = [name for name in engine.backend.devices() if name.partition(":")[0] == "cpu"]
    if names:
        return _move(self, engine, names[0])
    engine, native = resolve("cpu")
    return _move(self, engine, native)


def cuda(self: Tensor, device: DeviceLike = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """Returns the tensor on a CUDA device; RuntimeError when no backend has one."""
    return to(self, "cuda" if device is None else device)


def numpy_kind(self: Tensor) -> Any:
    return self._kind


def new_tensor(
    self: Tensor, data: Any, *, dtype: DType | None = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """Returns a tensor with a copy of the data, of this tensor's dtype and device unless given."""
    from torchplug.ops.from_data import tensor

    return tensor(
        data,
        dtype=dtype or self._kind.dtype,
        device=self.device if device is None else device,
        requires_grad=requires_grad,
    )


def _new_factory(name: str, function: str) -> Any:
    def make(
        self: Tensor,
        *size: Any,
        dtype: DType | None = None,
        device: DeviceLike = None,
        requires_grad: bool = False,
        layout: Any = None,
        pin_memory: bool = False,
        **keywords: Any,
    ) -> Tensor:
        factory = DECLARATIONS[function].function
        return factory(
            *size,
            dtype=dtype or self._kind.dtype,
            device=self.device if device is None else device,
            requires_grad=requires_grad,
            **keywords,
        )

    make.__name__ = name
    make.__doc__ = f"Returns torch.{function}(size) with this tensor's dtype and device unless given."
    return make


for _name, _function in (("new_zeros", "zeros"), ("new_ones", "ones"), ("new_empty", "empty"), ("new_full", "full")):
    setattr(Tensor, _name, _new_factory(_name, _function))


def as_subclass(self: Tensor, cls: type[Subclass]) -> Subclass:
    """Returns the same memory and history as an object of a Tensor subclass."""
    out: Any = new(cls)
    cell_of(self)
    out._array, out._kind, out._cell, out._view = self._array, self._kind, self._cell, self._view
    if not self._kind.mutable:
        from torchplug._core.tensor import geometry_of

        out._geometry = geometry_of(self)
    out._node = AccumulateGrad(out) if type(self._node) is AccumulateGrad and not is_lost(self._node) else self._node
    out._cell.add_alias(out)
    return out


def pin_memory(self: Tensor, device: DeviceLike = None) -> Tensor:
    """Returns self: host memory needs no pinning for the engines torchplug drives."""
    return self


def is_pinned(self: Tensor, device: DeviceLike = None) -> bool:
    """Returns False."""
    return False


def _transposed(self: Tensor) -> Tensor:
    """A view with the dimensions reversed."""
    ndim = len(shape_of(self))
    return self.permute(*range(ndim - 1, -1, -1)) if ndim != 2 else self.t()


def _adjoint(self: Tensor) -> Tensor:
    """A view with the last two dimensions exchanged."""
    if len(shape_of(self)) < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {len(shape_of(self))}-D tensor."
        )
    return self.transpose(-2, -1)


def _set_real(self: Tensor, value: Any) -> None:
    self.real.copy_(value)


for _name, _get in (("T", _transposed), ("mT", _adjoint)):
    setattr(Tensor, _name, property(_get, doc=_get.__doc__))


def _parts() -> None:
    real, imag = DECLARATIONS["real"].function, DECLARATIONS["imag"].function

    def set_part(part: Any) -> Any:
        def assign(self: Tensor, value: Any) -> None:
            part(self).copy_(value)

        return assign

    Tensor.real = property(real, set_part(real), doc=real.__doc__)  # type: ignore[method-assign, assignment]  # attached here
    Tensor.imag = property(imag, set_part(imag), doc=imag.__doc__)  # type: ignore[method-assign, assignment]  # attached here


_parts()

for _method in (to, type_as, cpu, cuda, new_tensor, as_subclass, pin_memory, is_pinned):
    setattr(Tensor, _method.__name__, _method)
