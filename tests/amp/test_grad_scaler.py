"""`GradScaler` beside PyTorch's: trajectories, skipped steps, states, refusals."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from torch_oracle import torch as real

import torchplug as torch

Told = list[Any]

pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")


def model_of(library: Any, dtype: str = "float32") -> Any:
    layer = library.nn.Linear(3, 2)
    with library.no_grad():
        layer.weight.copy_(library.linspace(-1, 1, 6).reshape(2, 3))
        layer.bias.copy_(library.linspace(0, 1, 2))
    return layer.to(getattr(library, dtype))


def train(library: Any, dtype: str, clip: bool, mixed: bool, **settings: Any) -> Told:
    """Thirty steps, the 7th, 8th and 20th with a gradient that is not finite; returns scales, counts, losses, weights."""
    layer = model_of(library, dtype)
    optimizer = library.optim.Adam(layer.parameters(), lr=0.05)
    scaler = library.amp.GradScaler("cpu", **settings)
    told = []
    for step in range(30):
        x = library.linspace(-1, 1 + step % 3, 12).reshape(4, 3).to(getattr(library, dtype))
        optimizer.zero_grad()
        with library.autocast("cpu", dtype=library.bfloat16, enabled=mixed):
            loss = library.nn.functional.mse_loss(layer(x), library.ones(4, 2, dtype=getattr(library, dtype)))
        scaler.scale(loss).backward()
        if step in (7, 8, 20):
            layer.weight.grad[0, 1] = float("inf") if step != 8 else float("nan")
        if clip:
            scaler.unscale_(optimizer)
            library.nn.utils.clip_grad_norm_(layer.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        told.append(
            [
                scaler.get_scale(),
                scaler.state_dict()["_growth_tracker"],
                loss.item(),
                *layer.weight.reshape(-1).tolist(),
            ]
        )
    return told


@pytest.mark.parametrize(
    "how",
    [
        {"dtype": "float32", "clip": False, "mixed": False, "init_scale": 2.0**10, "growth_interval": 4},
        {
            "dtype": "float32",
            "clip": False,
            "mixed": True,
            "growth_interval": 3,
            "growth_factor": 3.0,
            "backoff_factor": 0.25,
        },
        {"dtype": "float64", "clip": False, "mixed": False, "init_scale": 8.0},
        {"dtype": "float32", "clip": True, "mixed": False, "init_scale": 64, "growth_interval": 5},
        {"dtype": "bfloat16", "clip": False, "mixed": False, "init_scale": 2.0**8, "growth_interval": 6},
        {
            "dtype": "float32",
            "clip": False,
            "mixed": False,
            "init_scale": 3e38,
            "growth_interval": 1,
            "backoff_factor": 0.9,
        },
    ],
    ids=["plain", "mixed", "float64", "clipped", "bfloat16", "overflowing scale"],
)
def test_thirty_steps_with_infinite_gradients_are_pytorchs(how: dict[str, Any]) -> None:
    ours, theirs = train(torch, **how), train(real, **how)
    narrow = how["mixed"] or how["dtype"] == "bfloat16"
    for step, (own, expected) in enumerate(zip(ours, theirs, strict=True)):
        assert own[:2] == expected[:2], step
        assert own[2:] == pytest.approx(
            expected[2:], rel=0.05 if narrow else 1e-4, abs=0.05 if narrow else 1e-5, nan_ok=True
        ), step


def test_training_with_a_scaler_runs_on_every_engine(backend: str) -> None:
    scales = [each[0] for each in train(torch, "float32", False, False, init_scale=16.0, growth_interval=5)]
    assert scales[6:9] == [32.0, 16.0, 8.0]


# ---- refusals and passing through ------------------------------------------------------------------------------------


def started(library: Any, **settings: Any) -> tuple[Any, Any, Any]:
    layer = model_of(library)
    optimizer = library.optim.SGD(layer.parameters(), lr=0.1)
    scaler = library.amp.GradScaler("cpu", init_scale=4.0, **settings)
    scaler.scale(layer(library.ones(1, 3)).sum()).backward()
    return scaler, optimizer, layer


def unscaled_twice(library: Any) -> Any:
    scaler, optimizer, _ = started(library)
    scaler.unscale_(optimizer)
    scaler.unscale_(optimizer)


def unscaled_after_step(library: Any) -> Any:
    scaler, optimizer, _ = started(library)
    scaler.step(optimizer)
    scaler.unscale_(optimizer)


def stepped_twice(library: Any) -> Any:
    scaler, optimizer, _ = started(library)
    scaler.step(optimizer)
    scaler.step(optimizer)


def updated_first(library: Any) -> Any:
    scaler, _, _ = started(library)
    scaler.update()


def never_scaled(library: Any) -> Any:
    layer = model_of(library)
    library.amp.GradScaler("cpu").unscale_(library.optim.SGD(layer.parameters(), lr=0.1))


def never_scaled_step(library: Any) -> Any:
    library.amp.GradScaler("cpu").step(library.optim.SGD(model_of(library).parameters(), lr=0.1))


def never_scaled_update(library: Any) -> Any:
    library.amp.GradScaler("cpu").update()


def without_gradients(library: Any) -> Any:
    scaler, _, _ = started(library)
    scaler.step(library.optim.SGD(model_of(library).parameters(), lr=0.1))


def with_a_closure(library: Any) -> Any:
    scaler, optimizer, _ = started(library)
    scaler.step(optimizer, closure=lambda: 1)


def half_gradients(library: Any) -> Any:
    scaler, optimizer, layer = started(library)
    layer.half()
    for parameter in layer.parameters():
        parameter.grad = library.ones_like(parameter)
    scaler.step(optimizer)


def scaled_number(library: Any) -> Any:
    library.amp.GradScaler("cpu").scale(3)


def scaled_list_of_numbers(library: Any) -> Any:
    library.amp.GradScaler("cpu").scale([library.ones(1), 3])


def updated_with_a_vector(library: Any) -> Any:
    scaler, _, _ = started(library)
    scaler.update(library.ones(2))


def updated_with_a_leaf(library: Any) -> Any:
    scaler, _, _ = started(library)
    scaler.update(library.ones(1).requires_grad_())


def updated_with_a_short_vector(library: Any) -> Any:
    scaler, _, _ = started(library)
    scaler.update(library.ones(1, dtype=library.float64))


def pickled_in_the_middle(library: Any) -> Any:
    scaler, optimizer, _ = started(library)
    scaler.step(optimizer)
    pickle.dumps(scaler)


def loaded_empty(library: Any) -> Any:
    library.amp.GradScaler("cpu").load_state_dict({})


def loaded_partly(library: Any) -> Any:
    library.amp.GradScaler("cpu").load_state_dict({"scale": 2.0})


REFUSALS = (
    unscaled_twice, unscaled_after_step, stepped_twice, updated_first, never_scaled, never_scaled_step, never_scaled_update,
    without_gradients, with_a_closure, half_gradients, scaled_number, scaled_list_of_numbers, updated_with_a_vector,
    updated_with_a_leaf, updated_with_a_short_vector, pickled_in_the_middle, loaded_empty, loaded_partly,
)  # fmt: skip


@pytest.mark.parametrize("misuse", REFUSALS, ids=lambda function: function.__name__)
def test_misuse_is_refused_in_pytorchs_words(misuse: Callable[[Any], Any]) -> None:
    with pytest.raises(Exception) as theirs:
        misuse(real)
    with pytest.raises(type(theirs.value)) as ours:
        misuse(torch)
    assert str(ours.value) == str(theirs.value)


def test_a_disabled_scaler_passes_everything_through() -> None:
    for library in (torch, real):
        layer = model_of(library)
        optimizer = library.optim.SGD(layer.parameters(), lr=0.1)
        scaler = library.amp.GradScaler("cpu", enabled=False)
        x = library.ones(2)
        assert scaler.scale(x) is x
        assert scaler.scale(3) == 3
        scaler.unscale_(optimizer)
        assert scaler.step(optimizer, closure=lambda: 7) == 7
        scaler.update()
        assert (scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (1.0, {}, False)
        scaler.load_state_dict({"scale": 3})
        assert pickle.loads(pickle.dumps(scaler)).is_enabled() is False


def test_containers_of_tensors_are_scaled_as_they_are() -> None:
    told = []
    for library in (torch, real):
        scaler = library.amp.GradScaler("cpu", init_scale=2.0)
        one = library.ones(1)
        scaled = [scaler.scale(each) for each in ([one, (one, [one])], (one,), iter([one]))]
        half = (
            scaler.scale(library.ones((), dtype=library.float16)),
            scaler.scale(library.ones(1, dtype=library.float16)),
        )
        told.append(
            [type(each).__name__ for each in scaled]
            + [scaled[0][1][1][0].item(), list(scaled[2])[0].item(), *(str(each.dtype) for each in half)]
        )
    assert told[0] == told[1]


# ---- what a step is -----------------------------------------------------------------------------------------------------


def test_two_optimizers_share_a_scale_and_only_the_bad_one_is_skipped() -> None:
    told = []
    for library in (torch, real):
        layers = [model_of(library) for _ in range(2)]
        optimizers = [library.optim.SGD(layer.parameters(), lr=0.1) for layer in layers]
        scaler = library.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
        for _ in range(2):
            for layer in layers:
                layer.zero_grad()
                scaler.scale(layer(library.ones(1, 3)).sum()).backward()
            layers[0].weight.grad[0, 0] = float("nan")
            told.append([scaler.step(optimizer) for optimizer in optimizers])
            scaler.update()
            told[-1] += [scaler.get_scale(), *(layer.bias.tolist() for layer in layers)]
    assert told[:2] == told[2:]


def test_update_takes_a_new_scale() -> None:
    told = []
    for library in (torch, real):
        scaler, optimizer, _ = started(library)
        scaler.step(optimizer)
        scaler.update(10.0)
        told.append(scaler.get_scale())
        scaler.update(library.full((), 3.0, dtype=library.float64))
        told.append([scaler.get_scale(), scaler.scale(library.ones(())).item()])
    assert told[:2] == told[2:]


def test_settings_are_read_and_set() -> None:
    for library in (torch, real):
        scaler = library.amp.GradScaler("cpu")
        assert (scaler.get_scale(), scaler.get_growth_factor()) == (65536.0, 2.0)
        assert (scaler.get_backoff_factor(), scaler.get_growth_interval()) == (0.5, 2000)
        scaler.set_growth_factor(3.0)
        scaler.set_backoff_factor(0.25)
        scaler.set_growth_interval(5)
        state = scaler.state_dict()
        assert (state["growth_factor"], state["backoff_factor"], state["growth_interval"]) == (3.0, 0.25, 5)
        assert state["_growth_tracker"] == 0


def test_a_state_moves_to_another_scaler_and_from_pytorchs() -> None:
    scaler, optimizer, _ = started(torch, growth_interval=2)
    scaler.step(optimizer)
    scaler.update()
    other, other_optimizer, _ = started(torch)
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()
    other.step(other_optimizer)
    other.update()
    assert other.get_scale() == 8.0
    theirs = real.amp.GradScaler("cpu", init_scale=32.0)
    fresh = torch.amp.GradScaler("cpu")
    fresh.load_state_dict(theirs.state_dict())
    assert fresh.scale(torch.ones(())).item() == 32.0
    assert fresh.state_dict() == theirs.state_dict()


def test_a_scaler_is_pickled_between_iterations() -> None:
    scaler, optimizer, _ = started(torch, growth_interval=3)
    scaler.step(optimizer)
    scaler.update()
    again = pickle.loads(pickle.dumps(scaler))
    assert again.state_dict() == scaler.state_dict()
    assert again.state_dict()["_growth_tracker"] == 1
    assert again.scale(torch.ones(())).item() == 4.0


def test_an_optimizer_that_scales_by_itself_is_given_scale_and_found_inf() -> None:
    told = []
    for library in (torch, real):
        seen: list[Any] = []

        class Own(library.optim.SGD):  # type: ignore[name-defined,misc]
            _step_supports_amp_scaling = True

            def step(self, closure: Any = None) -> Any:
                scale = self.grad_scale
                seen.append([None if scale is None else scale.item(), self.found_inf.item()])  # noqa: B023
                return "done"

        scaler, _, layer = started(library)
        optimizer = Own(layer.parameters(), lr=0.1)
        seen.append(scaler.step(optimizer))
        assert not hasattr(optimizer, "grad_scale")
        scaler.update()
        layer.weight.grad[0, 0] = float("inf")
        scaler.unscale_(optimizer)
        seen.append([scaler.step(optimizer), layer.bias.grad.tolist()])
        scaler.update()
        told.append([*seen, scaler.get_scale()])
    assert told[0] == told[1]


def test_a_cuda_scaler_without_cuda_warns_and_is_off() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scaler = torch.amp.GradScaler()
    assert "CUDA is not available" in str(caught[0].message)
    assert not scaler.is_enabled()
