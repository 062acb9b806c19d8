"""Small writes, which immutable engines make on the host, are undone like all others when a compiled function fails."""

from __future__ import annotations

import pytest

import torchplug


@pytest.mark.parametrize("name", ["strict", "jax"])
def test_a_function_that_fails_leaves_small_writes_undone(name: str) -> None:
    pytest.importorskip(name if name == "jax" else "numpy")
    with torchplug.use_backend(name):
        x = torchplug.zeros(100)
        x[1] = 1.0
        first = x[:3]

        @torchplug.compile
        def fails() -> None:
            x[1] = 5.0
            first[2] = 6.0
            raise ValueError("no luck")

        for _ in range(3):
            with pytest.raises(ValueError, match="no luck"):
                fails()
            assert x[:4].tolist() == [0.0, 1.0, 0.0, 0.0] and first.tolist() == [0.0, 1.0, 0.0]
            x[3] = 0.0
            assert (x[:4] * 1).tolist() == [0.0, 1.0, 0.0, 0.0]
