"""torch.nn.init: the same numbers from the same seed, the same errors and warnings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from same_program import assert_same

FILLS = {
    "uniform_": [(), (-2.0, 3.0)],
    "normal_": [(), (1.0, 2.0)],
    "trunc_normal_": [(), (0.0, 0.02), (0.0, 1.0, 0.0, 0.5), (0.0, 1.0, 1.0, 2.0), (3.0, 1.0, -2.0, 2.0), (5.0,)],
    "constant_": [(3.5,)],
    "ones_": [()],
    "zeros_": [()],
    "eye_": [()],
    "dirac_": [(), (2,)],
    "xavier_uniform_": [(), (2.0,)],
    "xavier_normal_": [(), (2.0,)],
    "kaiming_uniform_": [
        (),
        (5**0.5,),
        (0, "fan_out", "relu"),
        (0, "FAN_IN", "tanh"),
        (0, "both"),
        (0, "fan_in", "swish"),
    ],
    "kaiming_normal_": [(), (0.2, "fan_out"), (0, "fan_in", "selu"), (0, "both")],
    "orthogonal_": [(), (2.0,)],
    "sparse_": [(0.3,), (0.5, 2.0)],
}
CASES = [(name, args) for name, choices in FILLS.items() for args in choices]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 4), (20, 7), (4, 2, 3), (4, 6, 3, 3), (2, 2, 1, 2, 3), (5,), (), (0, 4)])
@pytest.mark.parametrize("name, args", CASES)
def test_a_fill_draws_pytorchs_numbers(name: str, args: tuple, shape: tuple, dtype: str) -> None:
    def program(torch: Any) -> Any:
        x = torch.nn.Parameter(torch.zeros(shape, dtype=getattr(torch, dtype)))
        result = getattr(torch.nn.init, name)(x, *args)
        return x, result is x, torch.rand(1)

    assert_same(program, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["uniform_", "trunc_normal_", "kaiming_normal_"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_draw_pytorchs_numbers(name: str, dtype: str) -> None:
    def program(torch: Any) -> Any:
        x = torch.zeros(20, 3, dtype=getattr(torch, dtype))
        return getattr(torch.nn.init, name)(x), torch.rand(1)

    assert_same(program, rtol=0, atol=0)


RANDOM = [
    "uniform_",
    "normal_",
    "trunc_normal_",
    "xavier_uniform_",
    "kaiming_uniform_",
    "kaiming_normal_",
    "orthogonal_",
]


@pytest.mark.parametrize("name", RANDOM)
def test_a_generator_of_ones_own_is_drawn_from(name: str) -> None:
    def program(torch: Any) -> Any:
        generator = torch.Generator().manual_seed(7)
        x = getattr(torch.nn.init, name)(torch.zeros(4, 6), generator=generator)
        return x, torch.rand(1), torch.rand(1, generator=generator)

    assert_same(program, rtol=2e-6, atol=1e-6)


def test_sparse_draws_rows_from_the_default_generator_or_its_own() -> None:
    def program(torch: Any) -> Any:
        generator = torch.Generator().manual_seed(7)
        x = torch.nn.init.sparse_(torch.zeros(4, 6), 0.5, generator=generator)
        return x, torch.rand(1), torch.rand(1, generator=generator)

    assert_same(program)


NONLINEARITIES = ["linear", "conv1d", "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu", "gelu"]


@pytest.mark.parametrize("param", [None, 0.2, 3, True, "a"])
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_gains_are_pytorchs(nonlinearity: str, param: Any) -> None:
    assert_same(lambda torch: torch.nn.init.calculate_gain(nonlinearity, param), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(), (3,), (3, 4), (3, 4, 5), (2, 3, 4, 5)])
def test_fans_are_counted_over_the_kernel(shape: tuple) -> None:
    assert_same(lambda torch: torch.nn.init._calculate_fan_in_and_fan_out(torch.zeros(shape)))


OLD = ["uniform", "normal", "constant", "eye", "dirac", "xavier_uniform", "xavier_normal", "kaiming_uniform",
"kaiming_normal", "orthogonal", "sparse"]  # fmt: skip


@pytest.mark.parametrize("name", OLD)
def test_former_names_warn(name: str) -> None:
    def program(torch: Any) -> Any:
        shape = (4, 2, 3) if name == "dirac" else (4, 4)
        args = (0.5,) if name in ("constant", "sparse") else ()
        return getattr(torch.nn.init, name)(torch.zeros(shape), *args)

    assert_same(program)


@pytest.mark.parametrize("bounds", [(3.0, 2.0), (float("-inf"), 0.0)])
def test_bounds_of_uniform_are_checked(bounds: tuple) -> None:
    assert_same(lambda torch: torch.nn.init.uniform_(torch.zeros(2), *bounds))


def test_orthogonal_rows_are_orthonormal_and_scaled() -> None:
    import torchplug

    w = torchplug.nn.init.orthogonal_(torchplug.zeros(3, 2, 4, dtype=torchplug.float64), gain=3.0).reshape(3, 8).numpy()
    np.testing.assert_allclose(w @ w.T, 9 * np.eye(3), atol=1e-12)


@pytest.mark.parametrize("bounds", [(-1.0, 0.5), (0.2, 0.4), (2.0, 5.0)])
def test_truncated_numbers_stay_within_and_have_the_right_mean(bounds: tuple) -> None:
    import torchplug

    torchplug.manual_seed(3)
    values = torchplug.nn.init.trunc_normal_(torchplug.zeros(20000), 0.0, 1.0, *bounds).double().numpy()
    # The mean of a truncated normal is (φ(a) - φ(b)) / (Φ(b) - Φ(a)); integrated here on a fine grid.
    grid = np.linspace(*bounds, 20001)
    density = np.exp(-(grid**2) / 2)
    mean = (grid * density).sum() / density.sum()
    assert values.min() >= bounds[0] and values.max() <= bounds[1]
    assert abs(values.mean() - mean) < 4 * values.std() / np.sqrt(values.size)
