"""Compares nested values of torchplug with PyTorch's, leaf by leaf."""

from __future__ import annotations

import numpy as np

__all__ = ["assert_same"]


def _values(tensor):
    tensor = tensor.detach()
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    return np.asarray(tensor.tolist(), dtype=np.complex128 if tensor.is_complex() else None)


def assert_same(ours, theirs):
    """Raises AssertionError unless values, types (by name), dtypes, shapes, strides and requires_grad agree."""
    assert type(ours).__name__.lower() == type(theirs).__name__.lower()
    if hasattr(theirs, "requires_grad") and hasattr(theirs, "stride"):
        assert str(ours.dtype) == str(theirs.dtype)
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert tuple(ours.stride()) == tuple(theirs.stride())
        assert ours.storage_offset() == theirs.storage_offset()
        assert ours.untyped_storage().nbytes() == theirs.untyped_storage().nbytes()
        assert ours.requires_grad == theirs.requires_grad
        np.testing.assert_array_equal(_values(ours), _values(theirs))
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key])
        if getattr(theirs, "_metadata", None) is not None:
            assert ours._metadata == theirs._metadata
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert_same(mine, other)
    elif isinstance(theirs, np.ndarray):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    elif type(theirs).__module__ in ("builtins", "numpy"):
        assert ours == theirs or (ours != ours and theirs != theirs)
    else:
        assert str(ours) == str(theirs)
