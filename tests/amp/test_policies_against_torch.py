"""Under autocast every declared function computes in the type PyTorch's computes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("torch")

from torch._subclasses.fake_tensor import FakeTensorMode
from torch_oracle import (
    Outcome,
    arrays_in,
    attempt,
    first_line,
    host,
    real_function,
    tensors_in,
    to_plug,
    to_torch,
    torch,
    tree_map,
)

import torchplug
from torchplug._core.declare import DECLARATIONS, Declaration, Sample
from torchplug._core.kind import forget
from torchplug_conformance.sampling import samples_of
from torchplug_conformance.tolerance import Tolerance
from torchplug_numpy.engine import NumPyBackend
from torchplug_spec import DType, registry
from torchplug_spec import dtypes as dt

pytestmark = pytest.mark.filterwarnings("ignore")

CASES = [each for each in DECLARATIONS.values() if each.samples is not None and "float" in each.dtypes]


def ids(declaration: Declaration) -> str:
    return declaration.name


def samples(declaration: Declaration, lower: DType) -> Iterator[tuple[DType, Sample]]:
    for dtype in (dt.float32, lower, dt.float64):
        for sample in samples_of(declaration, dtype):
            yield dtype, sample


class Side:
    """One of the two libraries, with autocast on."""

    def __init__(self, library: Any, convert: Callable[[Any], Any], lower: DType) -> None:
        self.library, self.convert = library, convert
        self.lower = getattr(library, lower.name)

    def call(self, function: Any, sample: Sample, autocast: bool = True) -> tuple[Outcome, list[Any]]:
        """Returns what the call did, and its floating arguments as leaves."""
        args, kwargs = tree_map(self.convert, sample.args), tree_map(self.convert, sample.kwargs)
        leaves = [x.requires_grad_() for x in tensors_in((args, kwargs)) if x.dtype.is_floating_point]
        self.library.default_generator.manual_seed(0)
        with self.library.autocast("cpu", dtype=self.lower, enabled=autocast):
            return attempt(lambda: function(*args, **kwargs)), leaves

    def gradients(self, outcome: Outcome, leaves: list[Any]) -> list[Any]:
        outputs = [x for x in tensors_in(outcome.value) if x.requires_grad]
        if not outputs or not leaves:
            return []
        weights = [self.library.ones_like(x) for x in outputs]
        return list(self.library.autograd.grad(outputs, leaves, weights, allow_unused=True))


@pytest.mark.parametrize("lower", [dt.bfloat16, dt.float16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("declaration", CASES, ids=ids)
def test_on_the_cpu_results_and_gradients_have_pytorchs_types_and_values(
    declaration: Declaration, lower: DType
) -> None:
    plug, real = Side(torchplug, to_plug, lower), Side(torch, to_torch, lower)
    found = []
    for dtype, sample in samples(declaration, lower):
        theirs, their_leaves = real.call(real_function(declaration), sample)
        ours, leaves = plug.call(declaration.function, sample)
        label = f"{dtype.name} {sample!r}"
        if theirs.error is not None or ours.error is not None:
            found += [f"{label}: {each}" for each in wrong_errors(real, plug, declaration, sample, ours, theirs)]
            continue
        problems = differences(
            ours.value, theirs.value, Tolerance(lower, arrays_in((list(sample.args), dict(sample.kwargs))), 2)
        )
        their_gradients = attempt(lambda o=theirs, leaves=their_leaves: real.gradients(o, leaves))
        if their_gradients.error is None:
            pairs = zip(leaves, plug.gradients(ours, leaves), strict=False)
            problems += [
                f"gradient {g.dtype} of a {x.dtype}" for x, g in pairs if g is not None and g.dtype is not x.dtype
            ]
        found += [f"{label}: {each}" for each in problems]
    assert not found, "\n".join(found)


def wrong_errors(
    real: Side, plug: Side, declaration: Declaration, sample: Sample, ours: Outcome, theirs: Outcome
) -> Iterator[str]:
    """Yields how errors differ: torchplug may compute where PyTorch's kernels lack a type, with autocast or without."""
    if theirs.error is None:
        yield f"raised {type(ours.error).__name__}: {ours.error}; PyTorch did not"
    elif ours.error is None:
        plain = real.call(real_function(declaration), sample, autocast=False)[0]
        lacking = ("not implemented for", "Found dtype", "could not create a primitive")
        if plain.error is None and not any(words in str(theirs.error) for words in lacking):
            yield f"did not raise; PyTorch {type(theirs.error).__name__}: {first_line(theirs.error)}"


def differences(ours: Any, theirs: Any, tolerance: Tolerance) -> list[str]:
    if not tensors_in(theirs):
        return []
    found = []
    for own, real in zip(tensors_in(ours), tensors_in(theirs), strict=True):
        if str(own.dtype) != str(real.dtype):
            found.append(f"dtype {own.dtype}, PyTorch {real.dtype}")
        elif tuple(own.shape) != tuple(real.shape):
            found.append(f"shape {tuple(own.shape)}, PyTorch {tuple(real.shape)}")
        elif real.dtype.is_floating_point and not np.all(
            tolerance.close(np.float64(host(own)), np.float64(host(real)))
        ):
            found.append(f"values {host(own).reshape(-1)[:4]}, PyTorch {host(real).reshape(-1)[:4]}")
    return found


# ---- CUDA's table, on an engine that calls the host's memory a CUDA device -------------------------------------------


class CudaByName(NumPyBackend):
    """NumPy arrays on a device called "cuda:0"."""

    name: ClassVar[str] = "cudabyname"

    def devices(self) -> tuple[str, ...]:
        return ("cuda:0",)

    def device_of(self, x: Any) -> str:
        return "cuda:0"


@pytest.fixture
def cuda_engine() -> Iterator[None]:
    registry.register(CudaByName)
    try:
        with torchplug.use_backend(CudaByName.name):
            yield
    finally:
        registry.unregister(CudaByName.name)
        forget(CudaByName.name)


def fake(value: Any) -> Any:
    """Returns an argument of PyTorch's on a CUDA device that is not there: it has types and shapes, no values."""
    if isinstance(value, np.ndarray):
        return torch.empty(value.shape, dtype=getattr(torch, dt.from_numpy_dtype(value.dtype).name), device="cuda")
    return to_torch(value)


@pytest.mark.parametrize("declaration", CASES, ids=ids)
def test_on_cuda_results_have_pytorchs_types(declaration: Declaration, cuda_engine: None) -> None:
    found = []
    for dtype, sample in samples(declaration, dt.float16):
        theirs = on_fake_cuda(real_function(declaration), sample, True)
        if theirs.error is not None and on_fake_cuda(real_function(declaration), sample, False).error is not None:
            continue  # what needs values, or has no kernel
        args, kwargs = tree_map(to_plug, sample.args), tree_map(to_plug, sample.kwargs)
        with torchplug.autocast("cuda", dtype=torchplug.float16):
            ours = attempt(lambda args=args, kwargs=kwargs: declaration.function(*args, **kwargs))
        shown = [types(ours), types(theirs)]
        if shown[0] != shown[1]:
            found.append(f"{dtype.name} {sample!r}: {shown[0]}, PyTorch {shown[1]}")
    assert not found, "\n".join(found)


def test_arguments_given_by_name_are_cast_as_others(cuda_engine: None) -> None:
    x = torchplug.ones(2, 3).half()
    with torchplug.autocast("cuda"):
        assert torchplug.norm(input=x).dtype is torchplug.float32
        assert torchplug.sum(input=x, dim=0).dtype is torchplug.float32
        assert torchplug.exp(input=x).dtype is torchplug.float32
        assert torchplug.softmax(x, 1, torchplug.float64).dtype is torchplug.float64
        assert torchplug.mm(input=x.float(), mat2=x.t()).dtype is torchplug.float16


def on_fake_cuda(function: Any, sample: Sample, autocast: bool) -> Outcome:
    with FakeTensorMode():
        args, kwargs = tree_map(fake, sample.args), tree_map(fake, sample.kwargs)
        torch.set_autocast_enabled("cuda", autocast)
        try:
            return attempt(lambda: function(*args, **kwargs))
        finally:
            torch.set_autocast_enabled("cuda", False)


def types(outcome: Outcome) -> Any:
    if outcome.error is not None:
        return f"{type(outcome.error).__name__}: {first_line(outcome.error)}"
    return [str(x.dtype) for x in tensors_in(outcome.value)]
