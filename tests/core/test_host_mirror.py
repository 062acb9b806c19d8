"""Small reads and writes of an immutable engine's storage stay on the host, and are seen everywhere."""

from __future__ import annotations

import pytest

import torchplug


@pytest.mark.parametrize("name", ["strict", "jax"])
def test_a_small_read_after_a_small_write_leaves_the_storage_on_the_host(name: str) -> None:
    pytest.importorskip(name if name == "jax" else "numpy")
    with torchplug.use_backend(name):
        x = torchplug.zeros(500, 1, 30)
        for row in range(3):
            x[row, 0, 2] = float(row)
            x[row + 1, 0] = x[row, 0]
        assert x._cell.array is None
        row = x[2:4, 0].t()
        assert row[1].tolist() == [0.0, 0.0] and row.sum().item() == 4.0
        x[3, 0, 1] = 7.0  # a view read from the host is read anew after a write
        assert (row * 1).tolist() == [[0.0, 0.0], [0.0, 7.0], [2.0, 2.0], *[[0.0, 0.0]] * 27]
        assert x._cell.array is None
        assert x.sum().item() == 0.0 + 1 + 2 + 2 + 7
        assert x._cell.array is not None


@pytest.mark.parametrize("name", ["strict", "jax"])
def test_a_tensor_read_from_the_host_has_memory_of_its_own(name: str) -> None:
    pytest.importorskip(name if name == "jax" else "numpy")
    with torchplug.use_backend(name):
        x = torchplug.zeros(100)
        x[1] = 1.0
        doubled = x[:10] * 2
        x[1] = 5.0
        assert doubled[1].item() == 2.0 and x[:3].tolist() == [0.0, 5.0, 0.0]
