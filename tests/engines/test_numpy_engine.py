"""What is the NumPy engine's own: bare callables, silence in every thread, sums with BLAS."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

from torchplug_numpy import NumPyBackend
from torchplug_numpy.quiet import quiet_context

backend = NumPyBackend()

_BARE = (
    "add", "subtract", "multiply", "maximum", "minimum", "equal", "less", "bitwise_and", "bitwise_or", "bitwise_invert",
    "abs", "floor", "where", "negative", "not_equal", "greater", "isnan", "tanh",
)  # fmt: skip
_NOISY = {
    "divide": (1.0, 0.0), "exp": (1e9,), "log": (0.0,), "sqrt": (-1.0,), "sin": (np.inf,), "pow": (1e30, 9.0),
    "remainder": (1.0, 0.0), "floor_divide": (1.0, 0.0), "expm1": (1e9,), "log1p": (-1.0,), "atanh": (1.0,),
    "square": (1e30,), "reciprocal": (0.0,), "cosh": (1e9,), "hypot": (3e38, 3e38),
}  # fmt: skip


@pytest.mark.parametrize("name", _BARE)
def test_hot_functions_are_numpy_s_own_objects(name: str) -> None:
    assert getattr(backend, name) is getattr(np, name)


@pytest.mark.parametrize("name", _NOISY)
def test_infinities_and_nan_come_without_a_warning(name: str) -> None:
    operands = [np.array([value], np.float32) for value in _NOISY[name]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not np.isfinite(getattr(backend, name)(*operands)).all()


def test_reductions_products_casts_and_writes_are_quiet_too() -> None:
    from torchplug_spec import dtypes as dt

    huge = np.full((2, 2), 3e38, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert backend.sum(huge, 0, False).tolist() == [np.inf, np.inf]
        assert backend.sum(huge.astype(np.complex64), 0, False)[0].real == np.inf
        assert backend.prod(huge, 0, False).tolist() == [np.inf, np.inf]
        assert np.isinf(backend.matmul(huge, huge)).all() and np.isinf(backend.matmul(huge[None], huge)).all()
        assert np.isinf(backend.cumulative_sum(huge, 0)[1]).all()
        assert np.isinf(backend.astype(huge, dt.float16)).all()
        backend.assign(np.zeros(4, np.float16), np.full(4, 1e9))
        backend.scatter_add(np.array([3e38], np.float32), np.array([0]), np.array([3e38], np.float32))


def test_the_user_s_own_numpy_still_warns() -> None:
    backend.log(np.zeros(1, np.float32))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        np.log(np.zeros(1))


def test_threads_inside_numpy_at_once_are_all_quiet() -> None:
    x = np.zeros(200_000, np.float32)  # long enough that NumPy lets other threads run
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with warnings.catch_warnings():
                for _ in range(20):
                    assert np.isinf(backend.log(x)).all()
        except BaseException as error:
            failures.append(error)

    warnings.simplefilter("error")  # catch_warnings is not per thread: the state of the whole test is reset after it
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_quiet_context_hides_the_caller_s_error_state_and_gives_it_back() -> None:
    with np.errstate(all="raise"):
        assert quiet_context().run(np.log, np.float32(0)) == -np.inf
        assert np.geterr()["divide"] == "raise"


_PROGRAM = """
import threading
import torchplug as torch
big = torch.tensor([3e38, float("inf")])
def compute():
    out = [big + big, big - big, big * 0.0, big * big, torch.log(torch.zeros(2)), big / 0]
    assert len(out) == 6
compute()
thread = threading.Thread(target=compute)
thread.start()
thread.join()
"""


def test_programs_run_under_warnings_as_errors_without_meeting_one() -> None:
    import os

    ran = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", _PROGRAM],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert ran.returncode == 0 and ran.stderr == "", ran.stderr


def test_a_long_sum_does_not_copy_an_expanded_array() -> None:
    x = np.broadcast_to(np.float32(0.5), (1 << 20, 1 << 20))
    assert backend.sum(x, None, False) == np.float32(0.5) * 2.0**40
    assert backend.sum(x, 0, False).shape == (1 << 20,)


@pytest.mark.parametrize("shape", [(4096, 3), (2, 4096, 2), (40000,), (3, 40000)])
def test_sums_do_not_depend_on_the_layout(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random(shape, np.float32)
    for axis in (None, *range(x.ndim)):
        straight = backend.sum(x, axis, False)
        strided = backend.sum(np.repeat(x, 2, -1)[..., ::2], axis, False)
        np.testing.assert_array_equal(straight, strided)
