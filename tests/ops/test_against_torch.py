"""Every declared function beside real PyTorch, on every engine present: see `oracle_case` for what is compared.

Run one family with `pytest tests/ops/test_against_torch.py -k views`; ids read `numpy-views-permute-float32-0`: engine,
family, function, dtype, number of the sample.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("torch")

from oracle_case import Case
from pytorch_quirks import QUIRKS
from torch_oracle import Outcome, attempt, first_line, real_function, same_error, to_plug, to_torch, tree_map

import torchplug
from torchplug._core.declare import DECLARATIONS, Declaration, Sample
from torchplug_conformance.sampling import DTYPES, samples_of
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

pytestmark = pytest.mark.filterwarnings("ignore")

ENGINES = ("numpy", "strict", "jax") if importlib.util.find_spec("jax") else ("numpy", "strict")
LEAN = {"jax": (dt.float32, dt.complex64, dt.int64, dt.bool_)}
"""Engines that compile each shape anew get one dtype of each kind; the conformance suite has the others."""


@functools.cache
def known_samples(name: str, dtype: DType) -> tuple[Sample, ...] | Exception:
    """Returns a function's samples, or what making them raised."""
    try:
        return tuple(samples_of(DECLARATIONS[name], dtype))
    except Exception as error:
        return error


def dtypes_of(declaration: Declaration) -> Iterator[DType]:
    for kind in declaration.dtypes:
        yield from DTYPES[kind]


def sample_cases() -> Iterator[Any]:
    for engine in ENGINES:
        for declaration in DECLARATIONS.values():
            if declaration.samples is None:
                continue
            for dtype in dtypes_of(declaration):
                if dtype not in LEAN.get(engine, (dtype,)):
                    continue
                samples = known_samples(declaration.name, dtype)
                for number in range(len(samples) if isinstance(samples, tuple) else 1):
                    label = f"{engine}-{declaration.family}-{declaration.name}-{dtype.name}-{number}"
                    yield pytest.param(engine, declaration, dtype, number, id=label)


def error_cases() -> Iterator[Any]:
    for engine in ENGINES:
        for declaration in DECLARATIONS.values():
            if declaration.errors is not None:
                for number, sample in enumerate(declaration.errors()):
                    label = f"{engine}-{declaration.family}-{declaration.name}-{number}"
                    yield pytest.param(engine, declaration, sample, id=label)


@pytest.mark.parametrize(("engine", "declaration", "dtype", "number"), list(sample_cases()))
def test_a_declared_sample_equals_pytorch(engine: str, declaration: Declaration, dtype: DType, number: int) -> None:
    samples = known_samples(declaration.name, dtype)
    if isinstance(samples, Exception):
        raise samples
    precision = dt.float32 if (declaration.name, dtype.name) in QUIRKS else dtype
    differences = Case(engine, declaration, dtype, samples[number], precision).run()
    if differences:
        pytest.fail(f"{declaration.name}{samples[number]!r}\n  " + "\n  ".join(differences), pytrace=False)


@pytest.mark.parametrize(("name", "dtype"), list(QUIRKS))
def test_a_quirk_of_pytorch_is_still_there(name: str, dtype: str) -> None:
    kind = dt.named(dtype)
    samples = known_samples(name, kind)
    assert isinstance(samples, tuple)
    assert any(Case("numpy", DECLARATIONS[name], kind, sample).run() for sample in samples)


@pytest.mark.parametrize(("engine", "declaration", "sample"), list(error_cases()))
def test_a_declared_error_is_pytorchs(engine: str, declaration: Declaration, sample: Sample) -> None:
    assert sample.error is not None, "an error sample without error=(type, words)"
    kind, words = sample.error
    theirs = _call(real_function(declaration), sample, to_torch)
    with torchplug.use_backend(engine):
        ours = _call(declaration.function, sample, to_plug)
    found = _wrong_error(ours, theirs, kind, words)
    if found:
        pytest.fail(f"{declaration.name}{sample!r}\n  {found}", pytrace=False)


def _call(function: Callable[..., Any], sample: Sample, convert: Callable[[Any], Any]) -> Outcome:
    args, kwargs = tree_map(convert, sample.args), tree_map(convert, sample.kwargs)
    return attempt(lambda: function(*args, **kwargs))


def _wrong_error(ours: Outcome, theirs: Outcome, kind: type[BaseException], words: str) -> str | None:
    if theirs.error is None:
        return "PyTorch does not refuse this call"
    if ours.error is None:
        return f"no error here; PyTorch {type(theirs.error).__name__}: {first_line(theirs.error)}"
    if not isinstance(ours.error, kind):
        return f"declared {kind.__name__}, raised {type(ours.error).__name__}: {first_line(ours.error)}"
    if words not in str(ours.error):
        return f"declared {words!r}, said: {first_line(ours.error)}"
    return same_error(ours.error, theirs.error)
