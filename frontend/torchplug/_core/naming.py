"""The names PyTorch's messages use for element types: "Float", "Long", "FloatTensor"."""

from __future__ import annotations

from torchplug_spec import DType

__all__ = ["scalar_type_name", "tensor_type_name"]

_NAMES = {
    "bool": "Bool", "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long", "float16": "Half",
    "bfloat16": "BFloat16", "float32": "Float", "float64": "Double", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
}  # fmt: skip


def scalar_type_name(dtype: DType) -> str:
    """Returns "Float" for torch.float32, "Long" for torch.int64, ..."""
    return _NAMES[dtype.name]


def tensor_type_name(dtype: DType) -> str:
    """Returns "FloatTensor" for torch.float32, ..."""
    return f"{_NAMES[dtype.name]}Tensor"
