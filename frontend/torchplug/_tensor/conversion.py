"""From a Tensor to Python, NumPy and other libraries, and its text."""

from __future__ import annotations

import copy as copying
from collections.abc import Iterator
from typing import Any, SupportsIndex

import numpy as np

from torchplug._core import printing
from torchplug._core.host import host_array
from torchplug._core.modes import default_dtype
from torchplug._core.node import AccumulateGrad, Output
from torchplug._core.tensor import Parameter, Tensor, array_of, cell_of, shape_of
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__: list[str] = []


def item(self: Tensor) -> Any:
    """Returns the only element as a Python number."""
    values = host_array(self)
    if values.size != 1:
        raise RuntimeError(f"a Tensor with {values.size} elements cannot be converted to Scalar")
    if self._kind.dtype is dt.bfloat16:
        return float(values.reshape(()))
    return values.item()


def tolist(self: Tensor) -> Any:
    """Returns the elements as nested lists of Python numbers (a number for a 0-d tensor)."""
    values = host_array(self)
    return (values.astype(np.float32) if self._kind.dtype is dt.bfloat16 else values).tolist()


def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """Returns a NumPy array: on the numpy backend the same memory, elsewhere a copy.

    Raises RuntimeError for a tensor that requires grad and TypeError for one on a GPU, unless `force` is given.
    """
    if force:
        self = self.detach().cpu()
    if self._node is not None:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    if self._kind.device.type != "cpu":
        raise TypeError(
            f"can't convert {self._kind.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory "
            "first."
        )
    if self._kind.dtype is dt.bfloat16:
        raise TypeError("Got unsupported ScalarType BFloat16")
    if self._kind.mutable:
        cell_of(self)
        return self._kind.F.to_numpy(self._array)
    return np.array(host_array(self))


def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    if self._node is not None:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    values = numpy(self)
    if dtype is not None and values.dtype != dtype:
        return values.astype(dtype)
    return values.copy() if copy else values


def _scalar(self: Tensor) -> Any:
    if self.numel() != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    return item(self)


def __float__(self: Tensor) -> float:
    return float(_scalar(self))


def __int__(self: Tensor) -> int:
    return int(_scalar(self))


def __complex__(self: Tensor) -> complex:
    return complex(_scalar(self))


def __bool__(self: Tensor) -> bool:
    count = self.numel()
    if count == 0:
        raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
    if count > 1:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
    return bool(item(self))


def __index__(self: Tensor) -> int:
    if self._kind.dtype.kind not in ("int", "uint", "bool") or self.numel() != 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(item(self))


def __format__(self: Tensor, spec: str) -> str:
    if not shape_of(self) and not self._kind.mutable or not shape_of(self):
        return format(item(self), spec)
    return object.__format__(self, spec) if spec else repr(self)


def __contains__(self: Tensor, element: Any) -> bool:
    if isinstance(element, (Tensor, int, float, complex, bool)):
        return bool((self == element).any())
    raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")


def __iter__(self: Tensor) -> Iterator[Tensor]:
    if not shape_of(self):
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


def __repr__(self: Tensor, *, tensor_contents: Any = None) -> str:
    device = None if self._kind.device.type == "cpu" and self._kind.device._is_default() else str(self._kind.device)
    if device is None or self._kind.device._is_default():
        pass
    text = printing.format_tensor(
        host_array(self),
        dtype_name=self._kind.dtype.name,
        default_dtype_name=default_dtype().name,
        device=device,
        requires_grad=self._node is not None,
        grad_fn_name=_node_name(self._node),
    )
    return f"Parameter containing:\n{text}" if isinstance(self, Parameter) else text


def _node_name(node: Any) -> str | None:
    if node is None or type(node) is AccumulateGrad:
        return None
    return (node.node if type(node) is Output else node).name()


def __hash__(self: Tensor) -> int:
    return id(self)


def __dlpack__(
    self: Tensor, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
) -> Any:
    if self._node is not None:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    cell_of(self)
    array = array_of(self)
    if dl_device is None and not copy:
        return array.__dlpack__(stream=stream) if stream is not None else array.__dlpack__()
    return array.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)


def __dlpack_device__(self: Tensor) -> tuple[Any, int]:
    return array_of(self).__dlpack_device__()


def __deepcopy__(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if id(self) in memo:
        return memo[id(self)]
    if self._node is not None and type(self._node) is not AccumulateGrad:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  If you were "
            "attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, see "
            "https://github.com/pytorch/pytorch/pull/103001"
        )
    fresh = self.detach().clone()
    result = fresh.as_subclass(type(self)) if type(self) is not Tensor else fresh
    if self._node is not None:
        result.requires_grad_()
    grad = getattr(self, "_grad", None)
    if grad is not None:
        result._grad = copying.deepcopy(grad, memo)
    for name, value in self.__dict__.items():
        result.__dict__[name] = copying.deepcopy(value, memo)
    memo[id(self)] = result
    return result


def __reduce_ex__(self: Tensor, protocol: SupportsIndex) -> Any:
    return _rebuild, (
        np.array(host_array(self)),
        self._kind.dtype,
        str(self._kind.device.qualified()),
        self._node is not None,
        type(self),
    )


def _rebuild(values: np.ndarray, dtype: DType, device: str, requires_grad: bool, cls: type) -> Tensor:
    from torchplug._core.device import resolve
    from torchplug._core.tensor import wrap

    engine, native = resolve(device)
    kind = engine.kind(dtype, native)
    tensor = wrap(kind.F.from_numpy(values, native), kind)
    if cls is not Tensor:
        tensor = tensor.as_subclass(cls)
    return tensor.requires_grad_() if requires_grad else tensor


for _function in (
    item, tolist, numpy, __array__, __float__, __int__, __complex__, __bool__, __index__, __format__, __contains__, __iter__,
    __repr__, __hash__, __dlpack__, __dlpack_device__, __deepcopy__, __reduce_ex__,
):  # fmt: skip
    setattr(Tensor, _function.__name__, _function)

Tensor.__array_priority__ = 1000
