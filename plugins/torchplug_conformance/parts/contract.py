"""Contract: the required functions themselves, called on the backend's raw arrays and compared with NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.comparison import type_differences, value_differences
from torchplug_conformance.parts.arranging_probes import DEVICE, arranging_probes
from torchplug_conformance.parts.elementwise_probes import Probe, elementwise_probes
from torchplug_conformance.parts.forward import PRIMARY
from torchplug_conformance.tolerance import Tolerance
from torchplug_conformance.trees import Leaf, arrays_in, tree_map
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = ["cases", "outcome", "probe_named"]

DTYPES = tuple(dtype for dtype in dt.ALL if dtype.name not in ("int8", "int16"))


def cases(subject: Subject) -> Iterator[Case]:
    for dtype in DTYPES:
        if not subject.has(dtype):
            continue
        for name, probe in _named_probes(dtype):
            yield Case("contract", name, partial(check, subject, probe), _reproduction(subject, name, probe))
        yield Case("contract", f"transfer-{dtype.name}", partial(check_transfer, subject, dtype))
        yield Case("contract", f"astype-{dtype.name}", partial(check_casts, subject, dtype))
    yield Case("contract", "indexing", lambda: check_indexing(subject))
    yield Case("contract", "devices", lambda: check_devices(subject))
    yield Case("contract", "inputs-stay", lambda: check_inputs_stay(subject))


def probe_named(name: str) -> Probe:
    """Returns the call of a case of this part, by the case's name. Raises KeyError when there is none."""
    for dtype in DTYPES:
        if f"-{dtype.name}-" in name:
            for known, probe in _named_probes(dtype):
                if known == name:
                    return probe
    raise KeyError(f"the part 'contract' has no call {name!r}")


def _named_probes(dtype: DType) -> Iterator[tuple[str, Probe]]:
    for number, probe in enumerate(_probes(dtype)):
        yield f"{probe.function}-{dtype.name}-{number}", probe


def _probes(dtype: DType) -> Iterator[Probe]:
    """Yields every probe of a main type; for the others one of each function and kinds of arguments."""
    seen: set[tuple[Any, ...]] = set()
    for probe in (*elementwise_probes(dtype), *arranging_probes(dtype)):
        kind = (probe.function, *(type(argument) for argument in probe.arguments))
        if dtype in PRIMARY.values() or kind not in seen:
            yield probe
        seen.add(kind)


def check(subject: Subject, probe: Probe) -> Iterator[str]:
    """The function gives NumPy's values, in the type the contract names, as an array with a shape and a type."""
    got = outcome(subject, probe)
    expected = Leaf(np.asarray(probe.expected), probe.result)
    yield from type_differences(got, expected)
    yield from value_differences(got, expected, Tolerance(probe.result, arrays_in(probe.arguments)))


def outcome(subject: Subject, probe: Probe) -> Leaf:
    """Returns what the backend's function gives for a call."""
    backend = subject.engine.backend
    device = backend.devices()[0]

    def prepare(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return backend.from_numpy(value, device)
        return device if value is DEVICE else value

    arguments = tree_map(prepare, probe.arguments)
    return _host(subject, getattr(backend, probe.function)(*arguments))


def _host(subject: Subject, array: Any) -> Leaf:
    values = subject.engine.backend.to_numpy(array)
    if tuple(array.shape) != values.shape or array.ndim != values.ndim:
        raise AssertionError(f"an array of shape {tuple(array.shape)} came to the host with shape {values.shape}")
    return Leaf(np.array(values), dt.from_numpy_dtype(values.dtype))


def _reproduction(subject: Subject, name: str, probe: Probe) -> tuple[str, ...]:
    return (
        "from torchplug_conformance import probe",
        f'got, expected = probe("{name}", backend="{subject.name}")',
        f"print(got, expected)  # {probe!r:.300}",
    )


def check_transfer(subject: Subject, dtype: DType) -> Iterator[str]:
    """Arrays come back from the engine as they went, whatever their shape and memory order; full makes them there."""
    backend = subject.engine.backend
    device = backend.devices()[0]
    whole = np.arange(24).reshape(2, 3, 4).astype(dtype.numpy)
    for host in (whole, whole.T, whole[:, ::2], whole[:, 0, 0], np.array(whole[0, 0, 0]), whole[:0]):
        got = backend.to_numpy(backend.from_numpy(host, device))
        if got.dtype != dtype.numpy or got.shape != host.shape or not np.array_equal(got, host):
            yield f"{host.dtype}{list(host.shape)} came back as {got.dtype}{list(got.shape)}: {got!r:.100}"
    for shape in ((), (3,), (2, 0), (2, 3)):
        got = backend.to_numpy(backend.full(shape, 1, dtype, device))
        if got.dtype != dtype.numpy or got.shape != shape or not np.all(got == 1):
            yield f"full({shape}, 1, {dtype}) gave {got!r:.100}"


def check_casts(subject: Subject, dtype: DType) -> Iterator[str]:
    """Casts truncate floats towards zero, drop imaginary parts, and call non-zero True."""
    backend = subject.engine.backend
    device = backend.devices()[0]
    host = np.array([0, 1, 2, 100]).astype(dtype.numpy)
    if dtype.is_floating_point or dtype.is_complex:
        host = np.array([0.0, 1.75, -1.75, 0.25]).astype(dtype.numpy)
    for target in DTYPES:
        if not subject.has(target) or (target.kind == "uint" and dtype.kind in ("float", "complex")):
            continue  # a negative float has no unsigned value
        got = backend.to_numpy(backend.astype(backend.from_numpy(host, device), target))
        parts = host.real if dtype.is_complex and not target.is_complex and target.kind != "bool" else host
        expected = parts.astype(target.numpy)
        if got.dtype != target.numpy or not np.array_equal(got, expected):
            yield f"astype from {dtype} to {target} gave {got!r}, expected {expected!r}"


def check_indexing(subject: Subject) -> Iterator[str]:
    """Basic indexing is NumPy's: integers, slices with steps, None and Ellipsis, every axis named."""
    backend = subject.engine.backend
    host = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    x = backend.from_numpy(host, backend.devices()[0])
    every = slice(None)
    for key in (
        (1, every, every),
        (1, ...),
        (every, slice(1, 4, 2), every),
        (..., 2),
        (None, 0, ..., slice(0, 5, 3)),
        (2, 3, 4),
        (slice(0, 0), 1, ...),
        (every, every, slice(None, None, -2)),
        (slice(2, None), every, None, slice(None, 2)),
        (...,),
    ):
        got = backend.to_numpy(x[key])
        if got.shape != host[key].shape or not np.array_equal(got, host[key]):
            yield f"x[{key}] has shape {got.shape} or other values than NumPy's {host[key].shape}"


def check_devices(subject: Subject) -> Iterator[str]:
    """Devices are strings, arrays know theirs, and the same device is no move."""
    backend = subject.engine.backend
    devices = list(backend.devices())
    if not devices or not all(isinstance(device, str) for device in devices):
        yield f"devices() gave {devices!r}, expected strings, the default first"
        return
    if len(devices) > 1 and "devices" not in subject.capabilities:
        yield f"devices() gave {devices!r}, but the backend does not claim the capability 'devices'"
    for device in devices:
        x = backend.full((2,), 3, dt.float32, device)
        if backend.device_of(x) != device:
            yield f"an array made on {device} says it is on {backend.device_of(x)}"
        for other in devices:
            moved = backend.to_device(x, other)
            if backend.device_of(moved) != other or not np.array_equal(backend.to_numpy(moved), [3, 3]):
                yield f"to_device from {device} to {other} gave an array on {backend.device_of(moved)}: {moved!r:.100}"
        backend.synchronize(device)


def check_inputs_stay(subject: Subject) -> Iterator[str]:
    """No required function writes into its arguments."""
    backend = subject.engine.backend
    device = backend.devices()[0]
    host = np.array([3.0, 1.0, 2.0], np.float32)
    places = np.array([0, 0, 2])
    calls: dict[str, Callable[[Any], Any]] = {
        "scatter_add": lambda x: backend.scatter_add(x, backend.from_numpy(places, device), x),
        "argsort": lambda x: backend.argsort(x, 0, True),
        "add": lambda x: backend.add(x, x),
        "sum": lambda x: backend.sum(x, None, False),
        "exp": lambda x: backend.exp(x),
    }
    for name, function in calls.items():
        x = backend.from_numpy(host.copy(), device)
        function(x)
        if not np.array_equal(backend.to_numpy(x), host):
            yield f"{name} wrote into its argument: {host} became {backend.to_numpy(x)}"
