"""Modules, optimizers and schedulers in the parts that functions are held in: types, views, derivatives, wrong calls, replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import torchplug
from torchplug_conformance.calls import Outcome, attempt, derivatives, has_drawn, is_smooth
from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.comparison import type_differences
from torchplug_conformance.layouts import LAYOUTS
from torchplug_conformance.parts import modules, optimizers, recorded
from torchplug_conformance.parts.forward import compare
from torchplug_conformance.recipes.misuse import run_misuse
from torchplug_conformance.recipes.modules import MODULES, run_module
from torchplug_conformance.recipes.optimizers import OPTIMIZERS, run_optimizer
from torchplug_conformance.recipes.running import arrays_for
from torchplug_conformance.recipes.schedulers import SCHEDULERS, run_scheduler
from torchplug_conformance.reference import REFERENCE, double_precision, on_backend
from torchplug_conformance.tolerance import EPSILON
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["aliasing_cases", "dtype_cases", "error_cases", "gradient_cases", "replay_cases"]

SECOND_ORDER = 2e-4
"""What two passes back leave of float32: as two hundred roundings of the first, and again of those."""

SAME_VALUES = ("transposed", "offset", "stepped")
"""Layouts that hold the very values of an array, so that what is right for it is right for them."""

REFUSAL = "asks for the value of a tensor while torchplug.compile traces the function"
"""What a module says that cannot be compiled because its result's shape, or its checks, depend on values."""


def _modules() -> list[str]:
    return [name for name in MODULES if not modules.missing(name)]


def _optimizers() -> list[str]:
    return [name for name in OPTIMIZERS if not optimizers.lacks_optimizer(name)]


# ---- types -----------------------------------------------------------------------------------------------------------


def dtype_cases(subject: Subject) -> Iterator[Case]:
    """Yields a case per module and optimizer and type: results, gradients and state have the type of the parameters."""
    for dtype in filter(subject.has, (dt.float32, dt.float64)):
        for name in _modules():
            run = partial(_trained_module, name, dtype)
            yield Case("dtype", f"modules-{name}-{dtype.name}", partial(_check_types, subject, dtype, run))
        for name in _optimizers():
            run = partial(_optimized, name, dtype)
            yield Case("dtype", f"optimizers-{name}-{dtype.name}", partial(_check_types, subject, dtype, run))


def _check_types(subject: Subject, dtype: DType, run: Callable[[], Any]) -> Iterator[str]:
    got, expected = _on(subject.name, run), _on(REFERENCE, run)
    if got.error is None and expected.error is None:
        found = list(type_differences(got.value, expected.value))
        if found:
            yield from found
            return
    relative = optimizers.RELATIVE * EPSILON[dtype.name] / EPSILON["float32"]
    yield from compare(subject, got, expected, recorded.Within(relative))


def _on(backend: str, run: Callable[[], Any]) -> Outcome:
    with on_backend(backend):
        return attempt(run)


def _trained_module(name: str, dtype: DType) -> Any:
    """Returns a module's results, the first derivatives of all it depends on, and its state afterwards."""
    module, tensors = _made(name, dtype)
    result = module(*tensors)
    return result, derivatives(result, _leaves(module, tensors), 1), list(module.state_dict().values())


def _made(name: str, dtype: DType) -> tuple[Any, list[Any]]:
    """Returns a module of a recipe and its inputs, both in a type; of a lazy one the first call is over."""
    make, inputs = MODULES[name]
    module = make(torchplug.nn)
    if name.startswith("Lazy"):
        module.eval()(*_tensors(name, dt.float32))
        module.train()
    return module.to(dtype), _tensors(name, dtype)


def _tensors(name: str, dtype: DType, again: str = "") -> list[Any]:
    arrays = arrays_for(name + again, MODULES[name][1])
    return [torchplug.tensor(x.astype(dtype.numpy) if x.dtype.kind == "f" else x) for x in arrays]


def _leaves(module: Any, tensors: list[Any]) -> list[Any]:
    return [x.requires_grad_() for x in tensors if is_smooth(x)] + [x for x in module.parameters() if x.requires_grad]


def _optimized(name: str, dtype: DType) -> Any:
    """Returns two parameters after three steps, and the tensors of the optimizer's state."""
    kind, options = OPTIMIZERS[name]
    random = np.random.default_rng(5)
    pair = [torchplug.tensor(random.uniform(-1, 1, shape).astype(dtype.numpy)) for shape in ((3, 2), (2,))]
    parameters = [x.requires_grad_() for x in pair]
    optimizer = getattr(torchplug.optim, kind)(parameters, **options)

    def loss() -> Any:
        optimizer.zero_grad()
        total = ((parameters[0] + parameters[1]) ** 2).sum()
        total.backward()
        return total

    for _ in range(3):
        optimizer.step(loss)
    state = optimizer.state_dict()["state"]
    kept = [value for entry in state.values() for value in entry.values() if isinstance(value, torchplug.Tensor)]
    return parameters, kept


# ---- views -----------------------------------------------------------------------------------------------------------


def aliasing_cases(subject: Subject) -> Iterator[Case]:
    """Yields a case per module and optimizer: inputs and parameters that are views give what others give."""
    for name in _modules():
        yield Case("aliasing", f"modules-{name}", partial(_check_module_of_views, subject, name))
    for name in _optimizers():
        yield Case("aliasing", f"optimizers-{name}", partial(_check_optimizer_of_views, subject, name))


def _check_module_of_views(subject: Subject, name: str) -> Iterator[str]:
    for layout in SAME_VALUES:
        # Not PyTorch's recorded numbers: dropout draws in the order of memory.
        got, expected = (_module_of_views(backend, name, layout) for backend in (subject.name, REFERENCE))
        found = recorded.differences(got, expected, recorded.Within(modules.RELATIVE))
        yield from (f"{layout} inputs: {difference}" for difference in found)


def _module_of_views(backend: str, name: str, layout: str) -> Any:
    with on_backend(backend):
        return run_module(torchplug, name, lambda array: LAYOUTS[layout](torchplug.tensor, array)[1])


def _check_optimizer_of_views(subject: Subject, name: str) -> Iterator[str]:
    for layout in SAME_VALUES:
        bases: list[tuple[Any, Any]] = []

        def run(torch: Any, name: str, layout: str = layout, bases: Any = bases) -> Any:
            def lay(array: np.ndarray) -> Any:
                base, view = LAYOUTS[layout](torch.tensor, array)
                bases.append((base, view))
                return view

            return run_optimizer(torch, name, lay)

        found = recorded.check(subject, "optimizers", run, name, optimizers.RELATIVE)
        yield from (f"{layout} parameters: {difference}" for difference in found)
        for base, view in bases:
            if view._base is not base and view is not base:
                yield f"{layout} parameters: a parameter is no view of its base any more"


# ---- derivatives -----------------------------------------------------------------------------------------------------


def gradient_cases(subject: Subject) -> Iterator[Case]:
    """Yields a case per module: derivatives of second order, of inputs and parameters, are those of the reference."""
    for name in _modules():
        yield Case("gradient", f"modules-{name}", partial(_check_second_order, subject, name))


def _check_second_order(subject: Subject, name: str) -> Iterator[str]:
    got = _on(subject.name, partial(_second_order, name, dt.float32))
    with double_precision():
        expected = _on(REFERENCE, partial(_second_order, name, dt.float64))
    if expected.error is not None or has_drawn():  # doubles are drawn differently
        expected = _on(REFERENCE, partial(_second_order, name, dt.float32))
    yield from compare(subject, got, expected, recorded.Within(SECOND_ORDER))


def _second_order(name: str, dtype: DType) -> Any:
    module, tensors = _made(name, dtype)
    return derivatives(module(*tensors), _leaves(module, tensors), 2)


# ---- wrong calls -----------------------------------------------------------------------------------------------------


def error_cases(subject: Subject) -> Iterator[Case]:
    """Yields a case per wrong call: it raises what PyTorch raises."""
    for name, expected in recorded.recorded("misuse").items():
        table, recipe, *_ = name.split("-")
        if table != "modules" or not modules.missing(recipe):
            yield Case("errors", name, partial(_check_misuse, subject, name, expected))


def _check_misuse(subject: Subject, name: str, expected: str) -> Iterator[str]:
    with on_backend(subject.name):
        got = run_misuse(torchplug, name)
    if got != expected:
        yield f"raised {got or 'nothing'}, expected {expected or 'nothing'}"


# ---- replay ----------------------------------------------------------------------------------------------------------


def replay_cases(subject: Subject) -> Iterator[Case]:
    """Yields a case per module, optimizer and scheduler: compiled, and run again with other values."""
    for name in _modules():
        yield Case("replay", f"modules-{name}", partial(_check_compiled_module, subject, name))
    tables: dict[str, tuple[Any, Callable[..., Any]]] = {
        "optimizers": (_optimizers(), run_optimizer),
        "schedulers": ([name for name in SCHEDULERS if not optimizers.lacks_scheduler(name)], run_scheduler),
    }
    for table, (names, run) in tables.items():
        for name in names:
            yield Case("replay", f"{table}-{name}", partial(_check_compiled_steps, subject, table, run, name))


def _check_compiled_module(subject: Subject, name: str) -> Iterator[str]:
    got = _on(subject.name, partial(_replayed, name, torchplug.compile))
    if got.error is not None and REFUSAL in str(got.error):
        return
    expected = _on(REFERENCE, partial(_replayed, name, lambda function: function))
    yield from compare(subject, got, expected, recorded.Within(modules.RELATIVE))


def _replayed(name: str, compile: Callable[[Any], Any]) -> Any:
    module, tensors = _made(name, dt.float32)
    run = compile(module)
    # The first run is watched, the second traced, the third only replayed.
    results = [run(*tensors), run(*_tensors(name, dt.float32, " again")), run(*tensors)]
    return results, list(module.state_dict().values())


def _check_compiled_steps(subject: Subject, table: str, run: Callable[..., Any], name: str) -> Iterator[str]:
    def compiled(torch: Any, name: str) -> Any:
        return run(torch, name, compile=torch.compile)

    with on_backend(subject.name):
        refused = attempt(lambda: compiled(torchplug, name)).error
    if refused is None or REFUSAL not in str(refused):
        yield from recorded.check(subject, table, compiled, name, optimizers.RELATIVE)
