"""Functions that return another view of the same memory: reshaping, reordering, selecting, stretching."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from torchplug._core import geometry as geo
from torchplug._core import lens as lenses
from torchplug._core.declare import Sample, declare
from torchplug._core.dims import as_shape, infer_shape, wrap_dim, wrap_dims
from torchplug._core.op import TENSOR_SPACE, Op, ViewOp
from torchplug._core.tensor import Tensor, alias, geometry_of, shape_of
from torchplug_spec import DType

__all__ = [
    "as_strided", "contiguous", "detach", "diagonal", "expand", "expand_as", "flatten", "movedim", "narrow",
    "permute", "ravel", "reshape", "select", "squeeze", "swapaxes", "t", "transpose",
    "unflatten", "unfold", "unsqueeze", "view", "view_as",
]  # fmt: skip

INDEX = ViewOp("slice", lenses.INDEX, ("key",), node="SliceBackward0")
PICK = ViewOp("slice", lenses.PICK, ("key",), node="SliceBackward0")
SELECT = ViewOp("select", lenses.PICK, ("key",))
UNSQUEEZE = ViewOp("unsqueeze", lenses.INSERT, ("shape", "dim"))
SQUEEZE = ViewOp("squeeze", lenses.RESHAPE, ("shape",))
VIEW = ViewOp("view", lenses.RESHAPE, ("shape",))
VIEW_DENSE = ViewOp("view", lenses.RESHAPE_DENSE, ("shape",))
UNSAFE_VIEW = ViewOp("unsafe_view", lenses.RESHAPE, ("shape",))
PERMUTE = ViewOp("permute", lenses.PERMUTE, ("axes",))
TRANSPOSE = ViewOp("transpose", lenses.PERMUTE, ("axes",))
T = ViewOp("t", lenses.PERMUTE, ("axes",), node="TBackward0")
EXPAND = ViewOp("expand", lenses.EXPAND, ("shape",))
DIAGONAL = ViewOp("diagonal", lenses.DIAGONAL, ("shift", "dim1", "dim2"))
UNFOLD = ViewOp("unfold", lenses.UNFOLD, ("dim", "length", "step"))
AS_STRIDED = ViewOp("as_strided", lenses.AS_STRIDED, ("size", "stride", "offset"))
ALIAS = ViewOp("alias", lenses.RESHAPE, ("shape",))
CLONE = Op(
    "clone",
    ("input",),
    tensors=("input",),
    kernel="clone",
    forward=lambda F, x: F.copy(x),
    rules={"input": lambda F, g: g},
)

TENSOR_SPACE.slice = INDEX
TENSOR_SPACE.permute_dims = PERMUTE
TENSOR_SPACE.broadcast_to = lambda x, shape: x if shape_of(x) == shape else EXPAND(x, shape)
TENSOR_SPACE.copy = CLONE


def _view_samples(make: Any) -> Iterable[Sample]:
    yield Sample(make(4, 6), (2, 12))
    yield Sample(make(4, 6), (-1,))
    yield Sample(make(), (1, 1))
    yield Sample(make(2, 3, 4), (6, -1))


def _view_errors() -> Iterable[Sample]:
    import numpy as np

    yield Sample(np.zeros((4, 6), np.float32), (5, 5), error=(RuntimeError, "is invalid for input of size 24"))
    yield Sample(np.zeros((4, 6), np.float32), (-1, -1), error=(RuntimeError, "only one dimension can be inferred"))


@declare(op=VIEW, samples=_view_samples, errors=_view_errors, public=False)
def view(input: Tensor, *shape: Any) -> Tensor:
    """Returns a view with another shape (one size may be -1) or, given a dtype, the same bytes as that dtype.

    Raises RuntimeError where no strides can show the elements in that shape.
    """
    if len(shape) == 1 and isinstance(shape[0], DType):
        return _view_dtype(input, shape[0])
    return _view_as_shape(input, infer_shape(as_shape(shape), shape_of(input)), VIEW)


def _view_as_shape(input: Tensor, shape: tuple[int, ...], op: ViewOp) -> Tensor:
    kind = input._kind
    if input._cell is not None or kind.mutable:
        array = input._array
        if array is None or not kind.mutable or not kind.F.reshapes_in_place(array):
            size, stride, _ = geometry_of(input)
            check_view(size, stride, shape)
    return op(input, shape)


def check_view(size: tuple[int, ...], stride: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Raises PyTorch's error if a tensor of a size and strides has no view of another shape."""
    if geo.view_strides(size, stride, shape) is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )


def _view_dtype(input: Tensor, dtype: DType) -> Tensor:
    old, new = input._kind.dtype.itemsize, dtype.itemsize
    size, stride, offset = geometry_of(input)
    if old != new:
        if not size:
            raise RuntimeError(
                "self.dim() cannot be 0 to view a tensor as a different dtype with a different element size"
            )
        if stride[-1] != 1:
            raise RuntimeError(
                f"self.stride(-1) must be 1 to view {_name(input._kind.dtype)} as {_name(dtype)} (different element sizes), but "
                f"got {stride[-1]}"
            )
        if new > old and size[-1] * old % new:
            raise RuntimeError(
                f"self.size(-1) must be divisible by {new // old} to view {_name(input._kind.dtype)} as {_name(dtype)} "
                f"(different element sizes), but got {size[-1]}"
            )
    from torchplug._core.tensor import make_view

    return make_view(input, lenses.REINTERPRET, (dtype, (old, new)), dtype)


def _name(dtype: DType) -> str:
    from torchplug._core.naming import scalar_type_name

    return scalar_type_name(dtype)


@declare(public=False, samples=lambda make: [Sample(make(4, 6), make(2, 12)), Sample(make(4), make(2, 2))])
def view_as(input: Tensor, other: Tensor) -> Tensor:
    """Returns `input.view(other.size())`."""
    return view(input, shape_of(other))


def _can_view(input: Tensor, shape: tuple[int, ...]) -> bool:
    if input._cell is None and not input._kind.mutable:
        return True
    array = input._array
    if array is not None and input._kind.mutable and input._kind.F.reshapes_in_place(array):
        return True
    size, stride, _ = geometry_of(input)
    return geo.view_strides(size, stride, shape) is not None


@declare(op=VIEW, samples=_view_samples, errors=_view_errors)
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """Returns the elements in another shape (one size may be -1): a view where strides allow it, else a copy."""
    array = input._array
    size = array.shape if array is not None else input._geometry[0]
    target = shape[0] if len(shape) == 1 and type(shape[0]) is tuple else shape
    if not _is_shape(target) or math.prod(target) != math.prod(size) or (target and min(target) < 0):
        target = infer_shape(as_shape(shape), tuple(size))
    kind = input._kind
    if kind.mutable and 1 not in size and kind.F.reshapes_in_place(array):
        return VIEW_DENSE.call(input, target)
    if _can_view(input, target):
        return VIEW.call(input, target)
    return UNSAFE_VIEW(CLONE(_dense(input)), target)


def _is_shape(target: tuple) -> bool:
    for length in target:
        if type(length) is not int:
            return False
    return True


def _dense(input: Tensor) -> Tensor:
    """Returns the same values in C order, with history (a copy on strided engines, itself elsewhere)."""
    return CONTIGUOUS(input)


CONTIGUOUS = Op(
    "contiguous",
    ("input",),
    tensors=("input",),
    kernel="dense",
    forward=lambda F, x: F.copy(x),
    rules={"input": lambda F, g: g},
    node="CloneBackward0",
)


@declare(public=False, samples=lambda make: [Sample(make(3, 4))])
def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """Returns `input` if its elements lie in C order, else a copy that does."""
    if input._cell is None and not input._kind.mutable:
        return input
    size, stride, _ = geometry_of(input)
    return input if geo.is_contiguous(size, stride) else CONTIGUOUS(input)


@declare(
    public=False,
    name="reshape_as",
    samples=lambda make: [Sample(make(4, 6), make(2, 12)), Sample(make(2, 3, 2), make(6, 2))],
)
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """Returns `input.reshape(other.size())`."""
    return reshape(input, shape_of(other))


@declare(samples=lambda make: [Sample(make(2, 3, 4)), Sample(make(2, 3, 4), 1), Sample(make())])
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Returns dimensions `start_dim` to `end_dim` merged into one: a view where strides allow it, else a copy."""
    size = shape_of(input)
    if not size:
        return reshape(input, (1,))
    first, last = wrap_dim(start_dim, len(size)), wrap_dim(end_dim, len(size))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if first == last:
        return input
    return reshape(input, (*size[:first], math.prod(size[first : last + 1]), *size[last + 1 :]))


@declare(samples=lambda make: [Sample(make(2, 3))])
def ravel(input: Tensor) -> Tensor:
    """Returns the elements as one dimension: a view where strides allow it, else a copy."""
    return reshape(input, (-1,))


@declare(samples=lambda make: [Sample(make(4, 6), 1, (2, 3)), Sample(make(4, 6), 0, (-1, 2))])
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Returns a view with one dimension divided into `sizes` (one may be -1)."""
    size = shape_of(input)
    dim = wrap_dim(dim, len(size))
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    known = math.prod(length for length in sizes if length != -1)
    parts = tuple(size[dim] // known if length == -1 else int(length) for length in sizes)
    if math.prod(parts) != size[dim]:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({size[dim]}) in the input tensor"
        )
    return reshape(input, (*size[:dim], *parts, *size[dim + 1 :]))


@declare(op=PERMUTE, samples=lambda make: [Sample(make(2, 3, 4), (2, 0, 1)), Sample(make(2, 3), (-1, 0))])
def permute(input: Tensor, *dims: Any) -> Tensor:
    """Returns a view with the dimensions in the given order."""
    order = as_shape(dims)
    ndim = len(shape_of(input))
    if len(order) != ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of "
            f"dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = {len(order)}"
        )
    axes = tuple(wrap_dim(dim, ndim) for dim in order)
    if len(set(axes)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return PERMUTE(input, axes)


def _swapped(ndim: int, dim0: int, dim1: int) -> tuple[int, ...]:
    axes = list(range(ndim))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return tuple(axes)


@declare(
    op=TRANSPOSE,
    samples=lambda make: [Sample(make(2, 3, 4), 0, 2), Sample(make(2, 3), -1, 0)],
    aliases=("swapaxes", "swapdims"),
    inplace=True,
)
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Returns a view with two dimensions exchanged."""
    ndim = len(shape_of(input))
    if ndim == 0:
        wrap_dim(dim0, 0), wrap_dim(dim1, 0)
        return ALIAS(input, ())
    return TRANSPOSE(input, _swapped(ndim, wrap_dim(dim0, ndim), wrap_dim(dim1, ndim)))


swapaxes = transpose


@declare(op=T, inplace=True, samples=lambda make: [Sample(make(2, 3)), Sample(make(3))])
def t(input: Tensor) -> Tensor:
    """Returns the transpose of a matrix, as a view; vectors and 0-d tensors as they are."""
    ndim = len(shape_of(input))
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")
    return T(input, tuple(reversed(range(ndim))))


@declare(
    samples=lambda make: [Sample(make(2, 3, 4), 0, 2), Sample(make(2, 3, 4), (0, 1), (1, 2))], aliases=("moveaxis",)
)
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Returns a view with dimensions moved to other places, the rest in order."""
    ndim = len(shape_of(input))
    sources = wrap_dims((source,) if isinstance(source, int) else source, ndim)
    targets = wrap_dims((destination,) if isinstance(destination, int) else destination, ndim)
    if len(sources) != len(targets):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source ("
            + f"{list(sources)} dims) should contain the same number of "
            f"dims as destination ({list(targets)} dims)"
        )
    order = [dim for dim in range(ndim) if dim not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return PERMUTE(input, tuple(order))


@declare(
    op=SQUEEZE,
    inplace=True,
    samples=lambda make: [Sample(make(1, 3, 1)), Sample(make(1, 3, 1), 0), Sample(make(1, 3), (0, 1))],
)
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Returns a view without dimensions of length 1: all of them, or those named if they have length 1."""
    size = shape_of(input)
    if dim is None:
        return SQUEEZE(input, tuple(length for length in size if length != 1))
    dims = {wrap_dim(dim, len(size))} if isinstance(dim, int) else set(wrap_dims(dim, len(size)))
    return SQUEEZE(input, tuple(length for place, length in enumerate(size) if length != 1 or place not in dims))


@declare(
    op=UNSQUEEZE, inplace=True, samples=lambda make: [Sample(make(2, 3), 0), Sample(make(2, 3), -1), Sample(make(), 0)]
)
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Returns a view with a dimension of length 1 inserted at `dim`."""
    size = shape_of(input)
    dim = wrap_dim(dim, len(size) + 1)
    return UNSQUEEZE(input, (*size[:dim], 1, *size[dim:]), dim)


def _expand_errors() -> Iterable[Sample]:
    import numpy as np

    yield Sample(np.zeros((3, 4), np.float32), (5, 4), error=(RuntimeError, "must match the existing size (3)"))


@declare(
    op=EXPAND,
    public=False,
    errors=_expand_errors,
    samples=lambda make: [Sample(make(3, 1), (3, 4)), Sample(make(3), (2, -1)), Sample(make(), (2, 2))],
)
def expand(input: Tensor, *sizes: Any, implicit: bool = False) -> Tensor:
    """Returns a view stretched to `sizes` (-1 keeps a size): stretched dimensions have stride 0."""
    shape, size = as_shape(sizes), shape_of(input)
    lead = len(shape) - len(size)
    if lead < 0:
        raise RuntimeError(
            f"expand({_tensor_text(input)}, size={list(shape)}): the number of sizes provided ({len(shape)}) must be greater or "
            f"equal to the number of dimensions in the tensor ({len(size)})"
        )
    target = []
    for dim, wanted in enumerate(shape):
        if dim < lead:
            if wanted < 0:
                raise RuntimeError(
                    f"The expanded size of the tensor ({wanted}) isn't allowed in a leading, non-existing dimension {dim}"
                )
            target.append(wanted)
            continue
        have = size[dim - lead]
        if wanted != -1 and have not in (1, wanted):
            raise RuntimeError(
                f"The expanded size of the tensor ({wanted}) must match the existing size ({have}) at non-singleton dimension "
                f"{dim}.  Target sizes: {list(shape)}.  Tensor sizes: {list(size)}"
            )
        target.append(have if wanted == -1 else wanted)
    return EXPAND(input, tuple(target))


def _tensor_text(input: Tensor) -> str:
    from torchplug._core.naming import tensor_type_name

    return f"torch.{tensor_type_name(input._kind.dtype)}{{{list(shape_of(input))}}}"


@declare(public=False, samples=lambda make: [Sample(make(3, 1), make(3, 4)), Sample(make(4), make(2, 3, 4))])
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Returns `input.expand(other.size())`."""
    return expand(input, shape_of(other))


def whole_but(size: tuple[int, ...], dim: int, item: Any) -> tuple:
    return tuple(item if place == dim else slice(0, length, 1) for place, length in enumerate(size))


@declare(samples=lambda make: [Sample(make(4, 5), 1, 1, 3), Sample(make(4, 5), 0, -2, 2)])
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """Returns a view of `length` entries of one dimension from `start`."""
    size = shape_of(input)
    if not size:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    dim = wrap_dim(dim, len(size))
    start = int(start)
    if not -size[dim] <= start <= size[dim]:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-size[dim]}, {size[dim]}], but got {start})"
        )
    first = start + size[dim] if start < 0 else start
    if first + length > size[dim]:
        raise RuntimeError(f"start ({first}) + length ({length}) exceeds dimension size ({size[dim]}).")
    return INDEX(input, whole_but(size, dim, slice(first, first + length, 1)))


@declare(op=SELECT, samples=lambda make: [Sample(make(4, 5), 0, 2), Sample(make(4, 5), -1, -1)])
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Returns a view of one entry of a dimension, without that dimension."""
    size = shape_of(input)
    if not size:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, len(size))
    index = int(index)
    if not -size[dim] <= index < size[dim]:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(size)} at dimension {dim}")
    return SELECT(input, whole_but(size, dim, index % size[dim]))


@declare(op=DIAGONAL, samples=lambda make: [Sample(make(3, 4)), Sample(make(3, 4), 1), Sample(make(2, 3, 4), -1, 1, 2)])
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Returns a view of the diagonal of two dimensions, as the last dimension."""
    ndim = len(shape_of(input))
    first, second = wrap_dim(dim1, ndim), wrap_dim(dim2, ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return DIAGONAL(input, offset, first, second)


@declare(op=UNFOLD, public=False, samples=lambda make: [Sample(make(7), 0, 3, 2), Sample(make(3, 5), 1, 2, 1)])
def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Returns a view of all windows of `size` along a dimension, every `step`; the window is the last dimension."""
    shape = shape_of(input)
    dim = wrap_dim(dimension, len(shape))
    longest = shape[dim] if shape else 1
    if size > longest:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {longest} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return UNFOLD(input, dim, size, step)


@declare(
    op=AS_STRIDED,
    inplace=True,
    samples=lambda make: [Sample(make(4, 4), (2, 3), (4, 1), 1), Sample(make(6), (2, 2), (2, 1))],
)
def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """Returns a view of the input's storage with the given size, stride and offset, all in elements."""
    size, stride = tuple(map(int, size)), tuple(map(int, stride))
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(step < 0 for step in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    offset = geometry_of(input)[2] if storage_offset is None else int(storage_offset)
    if 0 not in size:
        reach = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) + 1
        available = storage_length(input)
        if reach > available:
            itemsize = input._kind.dtype.itemsize
            raise RuntimeError(
                f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and itemsize {itemsize} "
                f"requiring a storage size of {reach * itemsize} are out of bounds for storage of size {available * itemsize}"
            )
    out = AS_STRIDED(input, size, stride, offset)
    if out._node is not None:
        geometry = geometry_of(input)
        if geometry != geo.contiguous(geometry[0]):
            out._node.saved = (lenses.Restride(geometry), *out._node.saved[1:])
    return out


def storage_length(input: Tensor) -> int:
    """Returns how many elements of the tensor's dtype its storage holds."""
    from torchplug._core.tensor import cell_of

    cell = cell_of(input)
    array = cell.mirror if cell.array is None else cell.array
    held = math.prod(array.shape) * cell.kind.dtype.itemsize
    if input._kind.mutable:
        held = math.prod(input._kind.F.storage_of(input._array)[0].shape) * input._kind.dtype.itemsize
    return held // input._kind.dtype.itemsize


@declare(public=True, samples=lambda make: [Sample(make(3))], differentiable=False)
def detach(input: Tensor) -> Tensor:
    """Returns a tensor on the same memory, outside the gradient graph."""
    return alias(input)


TENSOR_SPACE.reshape = lambda x, shape: x if shape_of(x) == shape else reshape(x, shape)
