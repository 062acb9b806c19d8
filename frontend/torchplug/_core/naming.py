"""The names PyTorch's messages use for element types: "Float", "Long", "FloatTensor"."""

from __future__ import annotations

from typing import Any

from torchplug_spec import DType

__all__ = ["c_name", "scalar_type_name", "tensor_type_name", "type_string"]

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


def type_string(x: Any) -> str:
    """Returns "torch.FloatTensor", "torch.cuda.LongTensor", ..."""
    where = "" if x._kind.device.type == "cpu" else f"{x._kind.device.type}."
    return f"torch.{where}{tensor_type_name(x._kind.dtype)}"


_C_NAMES = {
    "float32": "float", "float64": "double", "int64": "long int", "int32": "int", "int16": "short int", "int8": "signed char",
    "uint8": "unsigned char", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}  # fmt: skip


def c_name(dtype: DType) -> str:
    """Returns "float" for torch.float32, "long int" for torch.int64: the names of C that some messages use."""
    return _C_NAMES.get(dtype.name, dtype.name)
