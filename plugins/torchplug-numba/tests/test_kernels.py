"""Every kernel gives what its default composition gives, and leaves to the engine what it does not take."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torchplug
from kernel_calls import CALLS, KERNELS, SPECIAL, random_array
from torchplug._core.kind import engine_for
from torchplug_conformance.reference import REFERENCE, on_backend

from torchplug_numba import _FAMILIES, plugin, threads

OURS = {name: function for family in _FAMILIES for name, function in family.KERNELS.items()}
DTYPES = (np.float32, np.float64)
PLAIN = [name for name in CALLS if "_step" not in name]
# Matrix products take arrays as they lie, and a row of theirs holds sums of many numbers.
PRODUCTS = ("attention", "attention_backward")


def _mapped(function: Any, value: Any) -> Any:
    """Returns a value with a function applied to the arrays in it, however deep."""
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(function, each) for each in value)
    return function(value) if hasattr(value, "shape") else value


def composed(name: str, arguments: Any) -> Any:
    """Returns what the default composition gives, in the type of the arguments."""
    with on_backend(REFERENCE):
        F = engine_for(REFERENCE).F
    given = _mapped(lambda x: F.from_numpy(np.array(x), "cpu"), arguments)
    return _mapped(F.to_numpy, getattr(F, name)(*given))


def chosen(name: str, arguments: Any) -> Any:
    """Returns what the engine gives with the plugin beside it."""
    return getattr(engine_for("numpy+numba").F, name)(*copy.deepcopy(arguments))


def arrays_in(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from arrays_in(each)
    elif hasattr(value, "shape"):
        yield np.asarray(value)


def assert_same(got: Any, expected: Any, roundings: float = 64) -> None:
    """Raises unless the values are those expected within some roundings of the largest number, NaN for NaN."""
    pairs = list(zip(arrays_in(got), arrays_in(expected), strict=True))
    assert pairs
    for one, other in pairs:
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        finite = np.abs(other[np.isfinite(other)])
        scale = min(finite.max(initial=0.0), 1e3)
        eps = np.finfo(other.dtype).eps
        np.testing.assert_allclose(one, other, rtol=roundings * eps, atol=roundings * eps * max(scale, 1e-6))


def test_every_kernel_has_arguments_to_be_tried_with() -> None:
    assert KERNELS == set(OURS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", CALLS)
def test_kernels_give_what_the_composition_gives(call: str, dtype: type) -> None:
    name = call.partition(" ")[0]
    taken = 0
    for arguments in CALLS[call](random_array(dtype)):
        assert_same(chosen(name, arguments), composed(name, arguments))
        taken += OURS[name](*copy.deepcopy(arguments)) is not NotImplemented
    assert taken, "the plugin left every call to the engine"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", [name for name in PLAIN if not {"norm", "nll", "attention"} & {*name.split("_")}])
def test_nan_and_infinity_are_what_the_composition_makes_of_them(call: str, dtype: type) -> None:
    name = call.partition(" ")[0]
    special = np.array(SPECIAL, dtype)
    for place in range(2 if "backward" in name else 1):
        for arguments in CALLS[call](random_array(dtype)):
            arguments = list(arguments)
            x = arguments[place]
            if not isinstance(x, np.ndarray) or x.dtype != dtype or not x.size:
                continue
            # One special number in each row (or all of them, where the rows do not matter).
            for start in range(0, len(special), x.size):
                wrong = x.copy()
                flat = wrong.reshape(-1)
                several = special[start : start + x.size] if "softmax" not in name else special[start : start + 1]
                flat[: len(several)] = several
                arguments[place] = wrong
                with np.errstate(all="ignore"):
                    if name == "embedding_backward" and arguments[3] >= 0:
                        continue  # what the padding gets is 0 here as in PyTorch, and 0 * infinity in the composition
                    assert_same(chosen(name, arguments), composed(name, arguments), roundings=256)


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "nll_loss"])
def test_nan_and_infinity_stay_in_their_row(name: str) -> None:
    arguments = list(next(iter(CALLS[name](random_array(np.float32)))))
    for value in (np.nan, np.inf, -np.inf, 1e30):
        x = arguments[0].copy()
        x[1, 2] = value
        with np.errstate(all="ignore"):
            assert_same(chosen(name, [x, *arguments[1:]]), composed(name, [x, *arguments[1:]]))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_what_stands_at_an_ignored_target_does_not_count(reduction: str) -> None:
    x, target = random_array(np.float32)(4, 6), np.array([0, 2, 3, 2])
    x[1, 2] = x[3, 2] = np.nan
    for weight in (None, np.full(6, 0.5, np.float32)):
        arguments = [x, target, weight, reduction, 2]
        assert np.isfinite(chosen("nll_loss", arguments)).all()
        assert_same(chosen("nll_loss", arguments), composed("nll_loss", arguments))


@pytest.mark.parametrize("causal", [False, True])
def test_a_query_that_is_nan_or_endless_spoils_the_rows_that_it_spoils_in_the_composition(causal: bool) -> None:
    make = random_array(np.float32)
    query, key, value = make(2, 4, 5), make(2, 4, 5), make(2, 4, 3)
    for number in (np.nan, np.inf, -np.inf, 1e30):
        for place in (0, 1):
            arguments = [query, key, value, None, causal, 0.5]
            arguments[place] = arguments[place].copy()
            arguments[place][1, 2, 0] = number
            with np.errstate(all="ignore"):
                assert_same(chosen("attention", arguments), composed("attention", arguments))


@pytest.mark.parametrize("call", [name for name in PLAIN if name not in PRODUCTS])
def test_arrays_with_gaps_and_half_precision_are_left_to_the_engine(call: str) -> None:
    name = call.partition(" ")[0]
    arguments = next(iter(CALLS[call](random_array(np.float32))))

    def spaced(x: np.ndarray) -> np.ndarray:
        return np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim and x.dtype.kind == "f" else x

    def halved(x: np.ndarray) -> np.ndarray:
        return x.astype(np.float16) if x.dtype.kind == "f" else x

    for change in (spaced, halved):
        changed = _mapped(change, arguments)
        if any(x.dtype == np.float16 or not x.flags.c_contiguous for x in arrays_in(changed)):
            assert OURS[name](*changed) is NotImplemented
            default = getattr(engine_for("numpy").F, name)(*changed)
            assert_same(getattr(engine_for("numpy+numba").F, name)(*changed), default)


def test_an_optimizer_step_that_is_left_to_the_engine_has_written_nothing() -> None:
    params, grads, states, numbers, options = next(iter(CALLS["adam_step"](random_array(np.float32))))
    params[1] = np.repeat(params[1], 2)[::2]
    before = copy.deepcopy((params, states))
    assert OURS["adam_step"](params, grads, states, numbers, options) is NotImplemented
    for one, other in zip(arrays_in((params, states)), arrays_in(before), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("call", ["softmax", "gelu none", "layer_norm", "layer_norm_backward", "adam_step", *PRODUCTS])
def test_several_threads_give_what_one_gives(call: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    name = call.partition(" ")[0]
    monkeypatch.setattr(threads, "SHARE", 4)
    for arguments in CALLS[call](random_array(np.float32)):
        one = chosen(name, arguments)
        plugin.set_num_threads(count)
        try:
            several = chosen(name, arguments)
        finally:
            plugin.set_num_threads(1)
        assert_same(several, one, roundings=8)


def test_classes_and_rows_that_do_not_exist_are_refused() -> None:
    x = np.zeros((2, 3), np.float32)
    for label in (7, -1):
        with pytest.raises(IndexError, match=rf"Target {label} is out of bounds\."):
            chosen("nll_loss", [x, np.array([0, label]), None, "mean", -100])
    with pytest.raises(IndexError, match=r"Target -2 is out of bounds\."):
        chosen("nll_loss_backward", [np.ones((), np.float32), np.array([0, -2]), None, "mean", -100, (2, 3)])
    for wrong in (-1, 4):
        with pytest.raises(IndexError, match="index out of range in self"):
            chosen("embedding_backward", [x, np.array([0, wrong]), 4, -1, False])


def test_results_share_no_memory_with_later_results() -> None:
    x = random_array(np.float32)(4, 5)
    with torchplug.use_backend("numpy+numba"):
        first = torchplug.softmax(torchplug.tensor(x), 1)
        kept = first.numpy().copy()
        torchplug.softmax(torchplug.tensor(x) * 2, 1)
        np.testing.assert_array_equal(first.numpy(), kept)
