"""Every differentiable function passes gradcheck and gradgradcheck in double precision: on NumPy, and on JAX where asked for.

On JAX each of the many small calls is a dispatch, so that run takes minutes: TORCHPLUG_GRADCHECK=numpy,jax asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import torchplug
from torchplug._core.declare import DECLARATIONS, Sample
from torchplug.autograd import gradcheck, gradgradcheck
from torchplug_conformance.calls import to_tensor
from torchplug_conformance.cases import samples_of
from torchplug_conformance.reference import double_precision
from torchplug_conformance.trees import arrays_in, tensors_in, tree_map
from torchplug_spec import BackendUnavailableError
from torchplug_spec import dtypes as dt

ENGINES = os.environ.get("TORCHPLUG_GRADCHECK", "numpy").split(",")
LIMITS = {"eps": 1e-6, "atol": 1e-5, "rtol": 1e-3}

NOT_A_SLOPE = {
    "nn.functional.ctc_loss": "PyTorch states the gradient that log_softmax turns into the slope, and not the slope itself",
}
"""Functions whose gradient is PyTorch's and no slope, with the reason: their values are held to PyTorch's elsewhere."""

CONSTANT = {
    "nn.functional.soft_margin_loss": 1,
    "nn.functional.batch_norm": 1,
}
"""Functions with arguments that PyTorch has no gradient for -> how many arguments come before the first of those."""

TIES = ("sort", "median", "mode", "quantile")
"""Functions whose first samples hold ties on purpose, where they have no derivative: here their numbers are all different."""

FUNCTIONS = [
    name
    for name, declared in DECLARATIONS.items()
    if declared.differentiable and declared.samples is not None and {"float", "complex"} & set(declared.dtypes)
]
WHAT = "differentiable functions pass gradcheck and gradgradcheck"


def of_tensors(name: str, sample: Sample) -> tuple[Callable[..., Any], list[Any]]:
    """Returns a sample's call as a function of its real and complex arrays, with only results that can be derived."""
    arguments = (tuple(sample.args), dict(sample.kwargs))
    arrays = [x for x in arrays_in(arguments) if x.dtype.kind in "fc"]
    moving = arrays[: CONSTANT.get(name, len(arrays))]

    def function(*tensors: Any) -> Any:
        torchplug.manual_seed(0)
        given = iter([*tensors, *map(to_tensor, arrays[len(moving) :])])

        def tensor(value: Any) -> Any:
            smooth = isinstance(value, np.ndarray) and value.dtype.kind in "fc"
            return next(given) if smooth else to_tensor(value)

        args, kwargs = tree_map(tensor, arguments)
        found = tensors_in(DECLARATIONS[name].function(*args, **kwargs))
        return tuple(result for result in found if result.requires_grad)

    if name in TIES:
        random = np.random.default_rng(3)
        moving = [random.permutation(x.size).reshape(x.shape) / 7 - 1.03 for x in moving]
    return function, [to_tensor(x).requires_grad_() for x in moving]


def checks(name: str) -> Iterator[tuple[Callable[..., Any], list[Any]]]:
    """Yields the calls of a function's samples that can be derived."""
    dtype = dt.float64 if "float" in DECLARATIONS[name].dtypes else dt.complex128
    for sample in samples_of(name, dtype):
        function, tensors = of_tensors(name, sample)
        if tensors and function(*tensors):
            yield function, tensors


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in NOT_A_SLOPE])
def test_gradients_of_first_and_second_order_are_slopes(name: str, engine: str, goal: Callable[..., None]) -> None:
    goal(1, WHAT, len(FUNCTIONS) - len(NOT_A_SLOPE), on=engine)
    try:
        with torchplug.use_backend(engine), double_precision():
            check = next(checks(name), None)
            assert check is not None, "no sample of it can be derived"
            assert gradcheck(*check, **LIMITS)
            assert gradgradcheck(*check, **LIMITS)
    except BackendUnavailableError as error:
        pytest.skip(f"unavailable: {error}")


def test_a_wrong_gradient_is_noticed() -> None:
    wrong = partial(torchplug.clamp, min=-10.0)

    def function(x: Any) -> Any:
        return wrong(x) + (x * x).detach()

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(function, [torchplug.ones(3, dtype=torchplug.float64).requires_grad_()], **LIMITS)


@pytest.mark.parametrize("name", ["view_as_real", "view_as_complex"])
def test_the_gradients_of_complex_views_can_be_derived(backend: str, name: str) -> None:
    dtype = torchplug.complex128 if name == "view_as_real" else torchplug.float64
    x = torchplug.arange(6.0).reshape(3, 2).to(dtype).requires_grad_()
    assert gradgradcheck(getattr(torchplug, name), [x], **LIMITS)
    if name == "view_as_complex":  # a gradient that lies in memory in another way
        assert gradgradcheck(
            lambda x: torchplug.view_as_complex(x).t().contiguous(), [x.detach().reshape(3, 1, 2).requires_grad_()]
        )
