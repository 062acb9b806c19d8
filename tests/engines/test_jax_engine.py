"""What is the JAX engine's own: traces, compilation, donation, 64-bit types, no look at the caller's memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="unavailable: jax: not installed")

import torchplug_jax  # noqa: E402
from torchplug_spec import BackendUnavailableError, required_functions  # noqa: E402
from torchplug_spec import dtypes as dt  # noqa: E402

backend = torchplug_jax.build()
DEVICE = backend.devices()[0]

_F = np.array([[1.5, -2.0, 3.0], [0.5, 4.0, -1.0]], np.float32)
_I = np.array([2, 0, 1])
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "floor_divide", "remainder", "pow"), (_F, _F)),
    **dict.fromkeys(("maximum", "minimum", "equal", "less"), (_F, _F)),
    **dict.fromkeys(("bitwise_and", "bitwise_or"), (_I, _I)),
    **dict.fromkeys(("abs", "exp", "log", "sin", "cos", "atan", "sqrt", "floor", "round"), (_F,)),
    **dict.fromkeys(("sum", "prod", "max"), (_F, 1, True)),
    "bitwise_invert": (_I,), "where": (_F > 0, _F, _F), "argmax": (_F, 1, False), "matmul": (_F, _F.T),
    "reshape": (_F, (3, 2)), "permute_dims": (_F, (1, 0)), "broadcast_to": (_F, (4, 2, 3)), "concat": ([_F, _F], 0),
    "take": (_F, _I, 1), "argsort": (_F, 1, True), "scatter_add": (_F[0], _I, _F[1]), "astype": (_F, dt.int32),
}  # fmt: skip


def _split(arguments: tuple[Any, ...]) -> tuple[list[Any], Any]:
    """Returns the arrays among the arguments and a function that puts others in their place."""
    leaves, structure = jax.tree.flatten(list(arguments), is_leaf=lambda each: isinstance(each, tuple))
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray)]

    def rebuilt(values: list[Any]) -> Any:
        changed = dict(zip(places, values, strict=True))
        return jax.tree.unflatten(structure, [changed.get(place, leaf) for place, leaf in enumerate(leaves)])

    return [leaves[place] for place in places], rebuilt


@pytest.mark.parametrize("name", [n for n in required_functions() if n in _ARGUMENTS])
def test_a_traced_function_equals_the_eager_one(name: str) -> None:
    arrays, rebuilt = _split(_ARGUMENTS[name])
    placed = [backend.from_numpy(array, DEVICE) for array in arrays]
    function = getattr(backend, name)

    def pure(values: list[Any]) -> list[Any]:
        assert all(backend.is_tracer(value) for value in values)
        return [function(*rebuilt(values))]

    eager = backend.to_numpy(function(*rebuilt(placed)))
    (traced,) = backend.compile(pure)(placed)
    np.testing.assert_allclose(backend.to_numpy(traced), eager, rtol=1e-6)
    assert backend.to_numpy(traced).dtype == eager.dtype


def test_every_required_function_is_traced_somewhere() -> None:
    untraced = {"devices", "device_of", "to_device", "synchronize", "from_numpy", "to_numpy", "full", "arange"}
    assert set(required_functions()) - set(_ARGUMENTS) == untraced


def test_constants_made_while_tracing_are_part_of_the_graph() -> None:
    def pure(values: list[Any]) -> list[Any]:
        (x,) = values
        device = backend.device_of(x)
        ones = backend.full((3,), 1.0, dt.float32, device)
        return [backend.add(backend.add(x, ones), backend.arange(0, 3, 1, dt.float32, device))]

    (out,) = backend.compile(pure)([backend.from_numpy(np.zeros(3, np.float32), DEVICE)])
    assert backend.to_numpy(out).tolist() == [1, 2, 3]


def test_a_traced_function_leaves_no_nested_calls() -> None:
    def pure(x: Any) -> Any:
        return backend.sum(backend.multiply(backend.exp(x), 2.0), 0, False)

    equations = jax.make_jaxpr(pure)(np.ones(3, np.float32)).jaxpr.eqns
    assert {"exp", "mul", "reduce_sum"} <= {equation.primitive.name for equation in equations}


def test_donated_memory_is_taken_and_the_result_is_right() -> None:
    step = backend.compile(lambda values: [backend.add(values[0], values[1])], donate=(0,))
    x, y = (backend.from_numpy(np.full(1024, value, np.float32), DEVICE) for value in (1.0, 2.0))
    (out,) = step([x, y])
    assert backend.to_numpy(out)[0] == 3.0
    assert x.is_deleted() and not y.is_deleted()


def test_a_compiled_function_follows_new_shapes_and_types() -> None:
    double = backend.compile(lambda values: [backend.add(values[0], values[0])])
    for host in (np.ones(2, np.float32), np.ones((2, 2), np.int64), np.ones(0, np.float64)):
        (out,) = double([backend.from_numpy(host, DEVICE)])
        np.testing.assert_array_equal(backend.to_numpy(out), host + host)


def test_a_write_right_after_the_transfer_is_not_seen() -> None:
    for _ in range(50):  # JAX may copy late or not at all
        host = np.zeros(1 << 16, np.float32)
        x = backend.from_numpy(host, DEVICE)
        host[:] = 1.0
        assert not backend.to_numpy(x).any()


def test_sixty_four_bit_types_stay() -> None:
    for dtype in (dt.int64, dt.float64, dt.complex128):
        assert backend.to_numpy(backend.full((1,), 1, dtype, DEVICE)).dtype == dtype.numpy


def test_eager_functions_are_compiled_once_per_shape() -> None:
    x = backend.from_numpy(np.ones((3, 5, 7), np.float32), DEVICE)
    backend.sum(x, 1, False)
    before = backend.sum._cache_size()
    for _ in range(3):
        backend.sum(x, 1, False)
    assert backend.sum._cache_size() == before


def test_synchronize_waits_for_every_array() -> None:
    x = backend.from_numpy(np.ones((300, 300), np.float32), DEVICE)
    products = [backend.matmul(x, x) for _ in range(5)]
    backend.synchronize(DEVICE)
    assert all(product.is_ready() for product in products)


def test_the_engine_says_that_a_fork_breaks_it() -> None:
    assert backend.fork_safe is False


def test_a_missing_jax_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(BackendUnavailableError, match="jax cannot be imported") as caught:
        torchplug_jax.build()
    assert caught.value.remedy == "pip install torchplug[jax]"


def test_a_jax_without_devices_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("Unable to initialize backend 'cuda': no GPU")

    monkeypatch.setattr(jax, "devices", fail)
    with pytest.raises(BackendUnavailableError, match="Unable to initialize backend 'cuda'") as caught:
        torchplug_jax.build()
    assert "JAX_PLATFORMS=cpu" in caught.value.remedy


def test_importing_the_package_does_not_import_jax() -> None:
    import subprocess
    import sys

    program = "import sys, torchplug_jax, torchplug_cupy; assert not {'jax', 'cupy'} & set(sys.modules)"
    path = ":".join(each for each in sys.path if each)
    assert subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": path}).returncode == 0


def test_several_cpu_devices_are_spelled_apart() -> None:
    import subprocess
    import sys

    program = """
import numpy as np, torchplug_jax
from torchplug_spec import dtypes as dt
backend = torchplug_jax.build()
assert backend.devices() == ["cpu", "cpu:1"], backend.devices()
for device in backend.devices():
    made = [backend.full((2,), 1, dt.float32, device), backend.arange(0, 2, 1, dt.float32, device),
            backend.from_numpy(np.ones(2, np.float32), device)]
    made.append(backend.add(made[0], made[1]))
    assert [backend.device_of(x) for x in made] == [device] * 4
assert backend.device_of(backend.to_device(made[0], "cpu")) == "cpu"
"""
    environment = {
        "PYTHONPATH": ":".join(each for each in sys.path if each),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
