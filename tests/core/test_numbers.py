"""Python numbers that an element type does not hold: wrapped, made infinite or refused where PyTorch does so, on every engine."""

from __future__ import annotations

import math

import pytest

import torchplug

torch = pytest.importorskip("torch")

DTYPES = ("uint8", "int8", "int16", "int32", "int64", "bool", "float16", "bfloat16", "float32", "float64", "complex64")
NUMBERS = (
    0, 1, -1, -127, -255, -256, 127, 128, 255, 256, 300, 70000, 2**31, 2**62, -1.0, -0.5, 255.5, 256.0, 1e10, 1e39,
    1e300, math.inf, math.nan, True, 1 + 0j, 1 + 1j,
)  # fmt: skip

WRITES = {
    "full": lambda lib, x, value: lib.full((2,), value, dtype=x.dtype),
    "full_like": lambda lib, x, value: lib.full_like(x, value),
    "new_full": lambda lib, x, value: x.new_full((2,), value),
    "fill_": lambda lib, x, value: x.fill_(value),
    "tensor": lambda lib, x, value: lib.tensor([1, value], dtype=x.dtype),
    "scalar": lambda lib, x, value: lib.tensor(value, dtype=x.dtype),
    "setitem": lambda lib, x, value: written(x, 0, value),
    "setitem by mask": lambda lib, x, value: written(x, x == 0, value),
    "masked_fill": lambda lib, x, value: x.masked_fill(x == 0, value),
    "where": lambda lib, x, value: lib.where(x == 0, x, value),
    "scatter": lambda lib, x, value: x.scatter(0, lib.tensor([1]), value),
    "index_fill": lambda lib, x, value: x.index_fill(0, lib.tensor([1]), value),
    "pad": lambda lib, x, value: lib.nn.functional.pad(x, (1, 1), value=value),
}
OPERATIONS = {
    "add": lambda lib, x, value: x + value,
    "sub from": lambda lib, x, value: value - x,
    "mul": lambda lib, x, value: x * value,
    "div": lambda lib, x, value: x / value,
    "div into": lambda lib, x, value: value / (x + x.new_ones(2)),
    "floor_divide into": lambda lib, x, value: value // (x + x.new_ones(2)),
    "remainder of": lambda lib, x, value: value % (x + x.new_ones(2)),
    "and": lambda lib, x, value: x & value,
    "and into": lambda lib, x, value: value & x,
    "eq": lambda lib, x, value: x == value,
    "lt": lambda lib, x, value: x < value,
    "alpha": lambda lib, x, value: lib.add(x, x, alpha=value),
    "pow": lambda lib, x, value: x**value,
    "clamp": lambda lib, x, value: x.clamp(max=value),
    "isin": lambda lib, x, value: lib.isin(x, value),
    "addcmul": lambda lib, x, value: lib.addcmul(x, x, x, value=value),
}


def written(x, key, value):
    x[key] = value
    return x


def outcome(lib, function, dtype, value):
    """Returns the type and the elements of a result, or the type and the first line of the error."""
    x = lib.zeros(2, dtype=lib.int64)
    x[1] = 1
    try:
        made = function(lib, x.to(getattr(lib, dtype)), value)
    except (RuntimeError, TypeError) as error:
        return type(error).__name__, "" if isinstance(error, TypeError) else str(error).splitlines()[0]
    made = made.detach()
    if dtype in ("float16", "bfloat16") and str(made.dtype).endswith(("float16", "bfloat16")):
        made = made.float()
    return str(made.dtype).rpartition(".")[2], [repr(item) for item in made.flatten().tolist()]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WRITES)
def test_a_number_is_written_or_refused_as_pytorch_does(backend, name, dtype):
    for value in NUMBERS:
        if name == "where" and dtype == "float16" and isinstance(value, complex):
            continue  # complex32
        assert outcome(torchplug, WRITES[name], dtype, value) == outcome(torch, WRITES[name], dtype, value), value


@pytest.mark.parametrize("dtype", ("uint8", "int8", "int32", "int64"))
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_number_beside_integers_counts_as_pytorchs(backend, name, dtype):
    for value in NUMBERS:
        if isinstance(value, int) and not (name == "pow" and value < 0):
            assert outcome(torchplug, OPERATIONS[name], dtype, value) == outcome(
                torch, OPERATIONS[name], dtype, value
            ), value


def test_complex_numbers_in_a_list_keep_the_bits_of_the_type_asked_for() -> None:
    assert torchplug.tensor([1 / 3 - 2j], dtype=torchplug.complex128).tolist() == [1 / 3 - 2j]
    assert torchplug.tensor([1 / 3, 2j], dtype=torchplug.complex128).tolist() == [1 / 3 + 0j, 2j]
    assert torchplug.tensor([1 / 3 - 2j]).dtype is torchplug.complex64
