"""Older spellings that programs still use: `x.new(...)`, sparse accessors on dense tensors, matmul precision."""

from __future__ import annotations

from typing import Any

import pytest

import torchplug

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("args", [(), (2, 3), ([1, 2],), ([[1.5, 2.5]],)], ids=str)
def test_new_makes_a_tensor_of_the_same_dtype(backend: str, args: tuple) -> None:
    def run(lib: Any, dtype: str) -> tuple:
        made = lib.zeros(2, dtype=getattr(lib, dtype)).new(*args)
        return tuple(made.shape), str(made.dtype), made.tolist() if args and isinstance(args[0], list) else None

    for dtype in ("float64", "int32"):
        assert run(torchplug, dtype) == run(torch, dtype)


def test_new_of_a_tensor_shares_its_memory(backend: str) -> None:
    x = torchplug.zeros(3)
    x.new(x).add_(2)
    assert x.tolist() == [2, 2, 2]
    assert x.new(x.size()).shape == (3,)
    with pytest.raises(TypeError):
        x.new(torchplug.zeros(3, dtype=torchplug.int64))


@pytest.mark.parametrize("name", ["indices", "values"])
def test_dense_tensors_have_no_sparse_parts(name: str) -> None:
    texts = []
    for lib in (torchplug, torch):
        with pytest.raises(RuntimeError) as caught:
            getattr(lib.zeros(2), name)()
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_matmul_precision_is_noted() -> None:
    for precision in ("high", "medium", "highest"):
        torchplug.set_float32_matmul_precision(precision)
        assert torchplug.get_float32_matmul_precision() == precision
    with pytest.warns(UserWarning, match="bad is not one of"):
        torchplug.set_float32_matmul_precision("bad")
    assert torchplug.get_float32_matmul_precision() == "highest"
