"""Runs one program on PyTorch and on torchplug and compares what it returns, raises and warns."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

Program = Callable[[Any], Any]


def assert_same(program: Program, *, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Runs `program(torch)` with both libraries; fails unless values, or error class and text, and warnings are the
    same.
    """
    oracle = pytest.importorskip("torch")
    import torchplug
    import torchplug.nn

    expected, expected_warnings = _outcome(oracle, program)
    found, found_warnings = _outcome(torchplug, program)
    _compare(found, expected, rtol, atol, "result")
    assert found_warnings == expected_warnings


class Raised:
    """The class and text of an exception."""

    def __init__(self, error: Exception) -> None:
        self.text = f"{type(error).__name__}: {_neutral(str(error))}"
        self.error = error


def _outcome(library: Any, program: Program) -> tuple[Any, list[str]]:
    library.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = program(library)
        except Exception as error:
            result = Raised(error)
    return result, [f"{w.category.__name__}: {_neutral(str(w.message))}" for w in caught]


def _neutral(text: str) -> str:
    """Returns a text without addresses and without the library's name."""
    return re.sub(r"0x[0-9a-f]+", "0x", text).replace("torchplug", "torch")


def _compare(found: Any, expected: Any, rtol: float, atol: float, where: str) -> None:
    if isinstance(expected, Raised) or isinstance(found, Raised):
        if not (isinstance(expected, Raised) and isinstance(found, Raised)):
            culprit = found if isinstance(found, Raised) else expected
            raise AssertionError(f"{where}: got {_shown(found)}, expected {_shown(expected)}") from culprit.error
        assert found.text == expected.text, f"{where}: {found.text} != {expected.text}"
    elif isinstance(expected, type):
        assert found.__name__ == expected.__name__, where
    elif hasattr(expected, "detach"):
        _compare_tensors(found, expected, rtol, atol, where)
    elif isinstance(expected, Mapping):
        assert list(map(str, found)) == list(map(str, expected)), where
        for key, value in expected.items():
            _compare(found[key], value, rtol, atol, f"{where}[{key!r}]")
    elif isinstance(expected, (list, tuple)) and not hasattr(expected, "_fields"):
        assert len(found) == len(expected), where
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            _compare(one, other, rtol, atol, f"{where}[{place}]")
    elif isinstance(expected, float):
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=where)
    else:
        assert _neutral(str(found)) == _neutral(str(expected)), where


def _compare_tensors(found: Any, expected: Any, rtol: float, atol: float, where: str) -> None:
    assert type(found).__name__ == type(expected).__name__, where
    assert str(found.dtype) == str(expected.dtype), where
    assert tuple(found.shape) == tuple(expected.shape), where
    assert found.requires_grad == expected.requires_grad, where
    numbers = [x.detach().double().numpy() if not x.is_complex() else x.detach().numpy() for x in (found, expected)]
    np.testing.assert_allclose(*numbers, rtol=rtol, atol=atol, err_msg=where)


def _shown(value: Any) -> str:
    return value.text if isinstance(value, Raised) else _neutral(repr(value))
