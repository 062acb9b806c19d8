"""Batches on the way between processes: tensors travel as plain memory and arrive on the default backend."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from torchplug._core.device import resolve
from torchplug._core.host import host_array
from torchplug._core.node import AccumulateGrad
from torchplug._core.tensor import Tensor, wrap
from torchplug_spec import dtypes as dt

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["receive", "reduce_tensor", "send"]

_LARGE = 1 << 15
"""Bytes from which memory is sent beside the pickle, without a copy into it."""


def send(connection: Connection, value: Any) -> None:
    """Sends a value: its pickle without large memory, then each large piece as it lies."""
    pieces: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _LARGE:
            return True
        pieces.append(raw)
        return False

    file = io.BytesIO()
    _Pickler(file, 5, buffer_callback=keep).dump(value)
    connection.send_bytes(pickle.dumps([piece.nbytes for piece in pieces]) if pieces else b"")
    connection.send_bytes(file.getbuffer())
    for piece in pieces:
        connection.send_bytes(piece)


def receive(connection: Connection) -> Any:
    """Returns the next value. Raises EOFError when the other side is gone."""
    sizes = connection.recv_bytes()
    head = connection.recv_bytes()
    if not sizes:
        return pickle.loads(head)
    pieces = []
    for size in pickle.loads(sizes):
        piece = np.empty(size, np.uint8)
        connection.recv_bytes_into(piece)
        pieces.append(piece)
    return pickle.loads(head, buffers=pieces)


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        return reduce_tensor(value) if isinstance(value, Tensor) else NotImplemented


def reduce_tensor(x: Tensor) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
    """Returns how to make a tensor again from its values, on the default backend of whoever does it.

    Raises RuntimeError for a tensor whose gradient would have to flow between processes.
    """
    if x._node is not None and type(x._node) is not AccumulateGrad:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, "
            "since autograd does not support crossing process boundaries.  "
            "If you just want to transfer the data, call detach() on the tensor before serializing "
            "(e.g., putting it on the queue)."
        )
    values = np.ascontiguousarray(host_array(x)).reshape(tuple(x.shape))
    if x._kind.dtype is dt.bfloat16:
        values = values.view(np.uint16)  # pickle sends memory beside the stream for NumPy's own types only
    kept = None if type(x) is Tensor else type(x)
    return _tensor, (values, x._kind.dtype.name, x._node is not None, kept)


def _tensor(values: np.ndarray, dtype: str, requires_grad: bool, kind_of_tensor: type | None) -> Tensor:
    element = dt.named(dtype)
    if values.dtype != element.numpy:
        values = values.view(element.numpy)
    if not values.flags.writeable:
        values = values.copy()
    engine, native = resolve(None)
    kind = engine.kind(element, native)
    out = wrap(kind.F.from_numpy(values, native), kind)
    if kind_of_tensor is not None:
        out = out.as_subclass(kind_of_tensor)
    return out.requires_grad_() if requires_grad else out
