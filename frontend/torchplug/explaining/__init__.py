"""Tools that explain: `compare` runs a function on two engines, `explain` says what an engine would do with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchplug.explaining.comparison import Comparison
    from torchplug.explaining.explanation import Explanation

__all__ = ["compare", "explain"]


def compare(
    function: Callable[..., Any],
    *args: Any,
    backends: Sequence[str] = ("numpy", "jax"),
    rtol: float | None = None,
    atol: float | None = None,
    gradients: bool = True,
) -> Comparison:
    """Runs `function(*args)` on two engines and returns what is the same and the first op that is not.

    The function may be a Module, a training step, anything callable. Every tensor it can reach (arguments, parameters,
    buffers, optimizer state, globals it names) is copied to each engine; tensors, Python state and random numbers start
    equal on both and are put back afterwards. Unless `gradients` is False, results that require grad are sent backward.

    Values agree within `rtol` of the larger one plus `atol` of the largest in the tensor (times 1); by default within
    256 roundings of the dtype (4 for 16-bit types), more where the inputs of the op differ already. Integers and bools are
    exact. The result is true when nothing differs, prints as a report, and has `.difference`, `.ops` and `.backends`.

    Raises: BackendError for an engine that cannot be used, NotSupportedError for a dtype that one of the two lacks.
    """
    from torchplug.explaining.comparison import compared

    return compared(function, args, backends, rtol, atol, gradients)


def explain(
    function: Callable[..., Any], *args: Any, backend: str | None = None, gradients: bool = True
) -> Explanation:
    """Returns which ops of `function(*args)` an engine has itself, which are composed for it and which it lacks.

    The engine (the default one if None) computes nothing: the function runs once on copies of its tensors on the numpy
    engine, backward included where the results require grad and `gradients` is True, and everything is put back.
    The result prints as a table and has `.native`, `.composed`, `.missing` and `.ok`.

    Raises: BackendError for an engine that cannot be used, and whatever the function raises on NumPy.
    """
    from torchplug.explaining.explanation import explained

    return explained(function, args, backend, gradients)
