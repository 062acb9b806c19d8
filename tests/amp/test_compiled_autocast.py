"""A compiled function follows autocast: what was traced in one state never serves another."""

from __future__ import annotations

from typing import Any

import pytest
from torch_oracle import torch as real

import torchplug as torch
from torchplug_spec import NotSupportedError, registry
from torchplug_strict.engine import StrictBackend

F = torch.nn.functional


def test_a_compiled_function_gives_the_types_of_its_surroundings_every_time(backend: str) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 3)

    @torch.compile
    def predict(x: torch.Tensor) -> torch.Tensor:
        return F.mse_loss(layer(x), torch.zeros(2, 3), reduction="none"), layer(x)

    x = torch.randn(2, 4)
    plain = layer(x)
    kinds = {None: torch.float32, torch.bfloat16: torch.bfloat16, torch.float16: torch.float16}
    for _ in range(4):
        for lower, expected in kinds.items():
            with torch.autocast("cpu", dtype=lower, enabled=lower is not None):
                loss, out = predict(x)
            assert (loss.dtype, out.dtype) == (torch.float32, expected)
            assert torch.allclose(out.float(), plain, rtol=0.05, atol=0.05)


def test_autocast_inside_a_compiled_function_is_its_own(backend: str) -> None:
    @torch.compile
    def product(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu"):
            return x @ x

    x = torch.ones(2, 2)
    for _ in range(4):
        assert product(x).dtype is torch.bfloat16
        assert (x @ x).dtype is torch.float32


def test_a_compiled_mixed_training_step_sees_every_write_to_its_parameters(backend: str) -> None:
    losses: dict[bool, list[float]] = {}
    for compiled in (False, True):
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 3)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        x = torch.linspace(-1, 1, 8).reshape(2, 4)

        def step(x: torch.Tensor, layer: Any = layer, optimizer: Any = optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(layer(x), torch.ones(2, 3))
            loss.backward()
            optimizer.step()
            return loss

        run = torch.compile(step) if compiled else step
        losses[compiled] = []
        with torch.autocast("cpu"):
            layer(x)  # the cast of the weights is kept when the step runs
            losses[compiled] = [run(x).item() for _ in range(6)]
    assert losses[True] == pytest.approx(losses[False], rel=0.02)
    assert losses[True][-1] < losses[True][0] * 0.8


class Narrow(StrictBackend):
    """The strict engine without 16-bit types."""

    name = "narrow"
    capabilities = StrictBackend.capabilities - {"bfloat16", "float16"}


def test_an_engine_without_the_type_says_which_it_lacks() -> None:
    registry.register(Narrow)
    try:
        with torch.use_backend("narrow"):
            a = torch.ones(2, 2)
            with torch.autocast("cpu"):
                assert a.exp().dtype is torch.float32
                with pytest.raises(NotSupportedError, match="bfloat16.*narrow|narrow.*bfloat16"):
                    a @ a
            assert (a @ a).dtype is torch.float32
    finally:
        registry.unregister("narrow")


def test_a_step_of_mixed_training_follows_pytorchs(backend: str) -> None:
    losses = []
    for library in (torch, real):
        model = library.nn.Sequential(library.nn.Linear(4, 8), library.nn.ReLU(), library.nn.Linear(8, 3))
        with library.no_grad():
            for parameter in model.parameters():
                count = parameter.numel()
                parameter.copy_(library.linspace(-0.5, 0.5, count).reshape(parameter.shape))
        optimizer = library.optim.SGD(model.parameters(), lr=0.5)
        x, y = library.linspace(-1, 1, 24).reshape(6, 4), library.tensor([0, 1, 2, 0, 1, 2])
        losses.append([])
        for _ in range(20):
            optimizer.zero_grad()
            with library.autocast("cpu", dtype=library.bfloat16):
                loss = library.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=0.03)
