"""The host generator draws what PyTorch was recorded to draw; PyTorch need not be installed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generator_pair import assert_same

from torchplug._core.mt19937 import HostGenerator

RECORDED = json.loads((Path(__file__).parent / "vectors" / "random.json").read_text())["programs"]

# Draws without log, sin, cos or tan are equal bit for bit.
INEXACT = {"randn", "normal", "exponential", "log_normal", "cauchy"}


def recorded_array(result: dict[str, Any]) -> np.ndarray:
    dtype = np.dtype(result["dtype"])
    if dtype.kind == "c":
        return np.array(result["values"], f"f{dtype.itemsize // 2}").view(dtype).reshape(result["shape"])
    return np.array(result["values"]).astype(dtype).reshape(result["shape"])


def argument(value: Any) -> Any:
    if isinstance(value, dict):
        return np.array(value["array"], value["dtype"])
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize("program", RECORDED, ids=[program["name"] for program in RECORDED])
def test_recorded_numbers_of_pytorch_are_drawn_again(program: dict[str, Any]) -> None:
    host = HostGenerator(program["seed"])
    for (method, *given), result in zip(program["calls"], program["results"], strict=True):
        drawn = getattr(host, method)(*map(argument, given))
        assert (drawn.dtype.name, list(drawn.shape)) == (result["dtype"], result["shape"])
        if "sha256" in result:
            assert hashlib.sha256(drawn.tobytes()).hexdigest() == result["sha256"]
        else:
            assert_same(drawn, recorded_array(result), method not in INEXACT)
    state = np.delete(host.get_state(), slice(5016, 5040))
    assert hashlib.sha256(state.tobytes()).hexdigest() == program["state"]


def test_at_least_25_vectors_are_recorded() -> None:
    assert len(RECORDED) >= 25
