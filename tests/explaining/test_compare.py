"""`torchplug.compare` finds nothing where engines agree, and the first defect where one has any."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import wrong_engines

import torchplug as torch
from torchplug._core.kind import engine_for
from torchplug._core.op import ViewOp
from torchplug._core.tracing import current_trace
from torchplug_spec import BackendError, BackendNotFoundError, BackendUnavailableError, NotSupportedError

Register = Callable[[type], str]
F = torch.nn.functional


@pytest.fixture(params=[("numpy", "strict"), ("strict", "numpy"), ("numpy", "jax")], ids="-".join)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Two engines that are both sound."""
    for name in request.param:
        try:
            engine_for(name)
        except BackendUnavailableError as error:
            pytest.skip(f"unavailable: {error}")
    return request.param


def forward(x: torch.Tensor) -> Any:
    y = torch.softmax(x @ x.t(), -1)
    z = x.clone()
    z[1].add_(100)
    z.t()[0] = 3.0
    joined = torch.cat([z, x]).cumsum(0)
    values, places = x.sort(1)
    spread = (z.t() + 1).contiguous().reshape(-1).std()
    return {"y": y, "all": (joined, values, places), "n": x.argmax().item(), "spread": spread, "on": x > 0}


def training() -> tuple[Any, torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3)
    )
    optimizer = torch.optim.Adam(model.parameters())

    def step(x: torch.Tensor, y: torch.Tensor) -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, model, optimizer


def sample(*shape: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(*shape, requires_grad=True)


def test_a_function_on_two_sound_engines_is_the_same(pair: tuple[str, str]) -> None:
    found = torch.compare(forward, sample(4, 4), backends=pair)
    assert found and found.difference is None, found
    assert found.ops > 5 and found.gradients > 3
    assert (
        str(found)
        == f"{pair[0]} and {pair[1]} agree: {found.ops} ops and {found.gradients} gradients are the same, and so are the results"
    )


def test_training_with_dropout_batch_norm_and_adam_is_the_same_on_sound_engines(pair: tuple[str, str]) -> None:
    step, _, _ = training()
    found = torch.compare(step, sample(6, 4), torch.tensor([0, 1, 2, 0, 1, 2]), backends=pair)
    assert found, found
    assert found.gradients >= 4


def test_a_convolution_network_is_the_same_on_sound_engines(pair: tuple[str, str]) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(36, 3)
    )  # fmt: skip
    assert torch.compare(model, torch.randn(5, 1, 8, 8), backends=pair)


class Attention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.pairs, self.out = torch.nn.LayerNorm(8), torch.nn.Linear(8, 24), torch.nn.Linear(8, 8)
        self.register_buffer("mask", torch.triu(torch.full((5, 5), -1e9), 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.pairs(self.norm(x)).chunk(3, -1)
        return x + self.out((q @ k.transpose(1, 2) + self.mask).softmax(-1) @ v)


def test_noise_that_adam_makes_large_is_no_difference(pair: tuple[str, str]) -> None:
    # The bias of the keys has no gradient but rounding errors, which differ by engine; Adam makes whole steps of them.
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(9, 8), Attention(), Attention(), torch.nn.Linear(8, 9))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def train(words: torch.Tensor) -> list[float]:
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(words).reshape(-1, 9), words.reshape(-1))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    found = torch.compare(train, torch.randint(0, 9, (4, 5)), backends=pair)
    assert found and found.ops >= 50, found


def test_a_compiled_function_is_compared_op_by_op(pair: tuple[str, str]) -> None:
    found = torch.compare(torch.compile(lambda x: (x * 2).tanh().sum()), sample(3), backends=pair)
    assert found and found.ops == 3


# ---- each kind of difference -----------------------------------------------------------------------------------------


def product(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    return (y @ y).sum()


def test_a_wrong_value_is_found_at_its_op_and_line(register: Register) -> None:
    name = register(wrong_engines.mutant("adds_the_first_product_twice"))
    x = sample(2, 2)
    found = torch.compare(product, x, backends=("strict", name))
    difference = found.difference
    assert not found and difference is not None
    assert (difference.kind, difference.op, difference.position) == ("value", "mm", 1)
    line = product.__code__.co_firstlineno + 2
    assert difference.line == f"{__file__}:{line}"
    assert difference.source == "return (y @ y).sum()"
    right = (2 * x.detach().numpy()) @ (2 * x.detach().numpy())
    assert np.allclose(difference.values["strict"], right)
    assert not np.allclose(difference.values[name], right)
    assert all(
        word in str(found) for word in ("strict and mutant differ", "return (y @ y).sum()", "elements differ, most at")
    )


def test_a_wrong_dtype_is_found(register: Register) -> None:
    name = register(wrong_engines.DTYPE)
    difference = torch.compare(lambda x: x.exp().tanh(), sample(3), backends=("numpy", name)).difference
    assert difference is not None
    assert (difference.kind, difference.op) == ("dtype", "tanh")
    assert difference.reason == "torch.float32 against torch.float64"


def test_a_wrong_shape_is_found(register: Register) -> None:
    name = register(wrong_engines.SHAPE)
    difference = torch.compare(lambda x: x.exp().sum(1), sample(3, 2), backends=("numpy", name)).difference
    assert difference is not None
    assert (difference.kind, difference.op, difference.reason) == ("shape", "sum", "[3] against [3, 1]")


def written(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y.t()[0].mul_(2)
    return y.exp()


def test_a_write_through_a_view_that_is_lost_is_found_where_it_is_made(register: Register) -> None:
    name = register(wrong_engines.mutant("loses_writes_to_strided_views"))
    difference = torch.compare(written, sample(3, 3).detach(), backends=("numpy", name)).difference
    assert difference is not None
    assert difference.kind == "alias"
    assert difference.source == "y.t()[0].mul_(2)"


def test_a_wrong_gradient_is_found_at_the_line_of_its_op(register: Register) -> None:
    name = register(wrong_engines.mutant("forgets_a_square"))
    difference = torch.compare(lambda x: x.exp().tanh(), sample(3), backends=("numpy", name)).difference
    assert difference is not None
    assert (difference.kind, difference.op, difference.position) == ("gradient", "tanh", 2)
    assert "x.exp().tanh()" in difference.source


def test_gradients_are_left_alone_on_request(register: Register) -> None:
    name = register(wrong_engines.mutant("forgets_a_square"))
    found = torch.compare(lambda x: x.exp().tanh(), sample(3), backends=("numpy", name), gradients=False)
    assert found and found.gradients == 0


def test_a_wrong_gradient_inside_a_training_step_is_found(register: Register) -> None:
    name = register(wrong_engines.mutant("forgets_a_square"))
    weight = sample(3, 3)

    def step(x: torch.Tensor) -> None:
        torch.tanh(x @ weight).sum().backward()

    difference = torch.compare(step, torch.ones(2, 3), backends=("numpy", name)).difference
    assert difference is not None and (difference.kind, difference.op) == ("gradient", "tanh")
    assert "torch.tanh(x @ weight)" in difference.source


def test_an_engine_that_raises_is_named_with_the_line(register: Register) -> None:
    name = register(wrong_engines.ERROR)
    difference = torch.compare(lambda x: x.exp().tanh(), sample(3), backends=("numpy", name)).difference
    assert difference is not None
    assert (difference.kind, difference.op) == ("error", "tanh")
    assert difference.values == {"numpy": "no error", name: "RuntimeError: no tanh today"}
    assert "x.exp().tanh()" in difference.source


def test_a_wrong_creation_is_blamed_on_the_line_that_creates(register: Register) -> None:
    name = register(wrong_engines.CREATION)

    def made(x: torch.Tensor) -> torch.Tensor:
        ones = torch.full((3,), 1.0)
        return x + ones

    difference = torch.compare(made, sample(3), backends=("numpy", name)).difference
    assert difference is not None
    assert (difference.kind, difference.op) == ("value", "full")
    assert difference.source == "ones = torch.full((3,), 1.0)"


def test_engines_that_run_other_ops_are_told_apart() -> None:
    def fickle(x: torch.Tensor) -> torch.Tensor:
        return x.exp() if torch.get_backend() == "numpy" else x.tanh()

    difference = torch.compare(fickle, sample(3), backends=("numpy", "strict")).difference
    assert difference is not None
    assert difference.kind == "order"
    assert difference.values["numpy"].startswith("exp at") and difference.values["strict"].startswith("tanh at")


def test_an_engine_that_does_more_or_less_is_told() -> None:
    def longer(x: torch.Tensor) -> torch.Tensor:
        y = x.exp()
        return y.tanh().sin() if torch.get_backend() == "numpy" else y

    for backends in (("numpy", "strict"), ("strict", "numpy")):
        difference = torch.compare(longer, sample(3).detach(), backends=backends).difference
        assert difference is not None and difference.kind == "order"
        assert "nothing more" in difference.values.values()


def test_python_results_are_compared() -> None:
    found = torch.compare(lambda x: (x, len(torch.get_backend())), sample(3), backends=("numpy", "strict"))
    assert found.difference is not None
    assert (found.difference.op, found.difference.values) == ("result[1]", {"numpy": 5, "strict": 6})


def test_a_defect_that_shows_late_in_training_is_found(register: Register) -> None:
    name = register(wrong_engines.tired_after(5))
    step, _, _ = training()
    weight = sample(4, 4)

    def train(x: torch.Tensor, y: torch.Tensor) -> float:
        for _ in range(8):
            loss = step(torch.tanh(x @ weight), y)
        return loss

    x, y = sample(6, 4).detach(), torch.tensor([0, 1, 2, 0, 1, 2])
    difference = torch.compare(train, x, y, backends=("numpy", name)).difference
    assert difference is not None
    assert (difference.kind, difference.op) == ("value", "tanh") and difference.position > 40


def test_a_sum_that_should_be_zero_may_be_any_rounding_error(register: Register) -> None:
    name = register(wrong_engines.IN_TURN)
    x = sample(1000).detach() * 3
    assert torch.compare(lambda x: (x - x.mean()).sum(), x, backends=("numpy", name))


def test_a_function_that_goes_backward_and_returns_its_loss_is_compared() -> None:
    def step(x: torch.Tensor) -> torch.Tensor:
        loss = x.exp().sum()
        loss.backward()
        return loss

    found = torch.compare(step, sample(3), backends=("numpy", "strict"))
    assert found and found.error is None and found.gradients > 0


def test_given_tolerances_take_the_place_of_ours(register: Register) -> None:
    name = register(wrong_engines.NEARLY)
    x = sample(3).detach()
    assert torch.compare(torch.tanh, x, backends=("numpy", name))
    assert not torch.compare(torch.tanh, x, backends=("numpy", name), rtol=1e-8)
    assert torch.compare(torch.tanh, x, backends=("numpy", name), rtol=1e-5)
    assert torch.compare(torch.tanh, x, backends=("numpy", name), atol=1e-3)


def test_nan_equals_nan_and_differs_from_numbers(register: Register) -> None:
    x = torch.tensor([float("nan"), float("inf"), 1.0])
    assert torch.compare(lambda x: x + 1, x, backends=("numpy", "strict"))
    name = register(wrong_engines.mutant("passes_over_nan_in_max"))
    difference = torch.compare(lambda x: x.max(), x, backends=("strict", name)).difference
    assert difference is not None and difference.kind == "value"


def test_a_function_that_raises_on_both_engines_is_the_same() -> None:
    found = torch.compare(lambda x: x @ torch.ones(7), sample(3, 3), backends=("numpy", "strict"))
    assert found and isinstance(found.error, RuntimeError)
    assert "then both raise RuntimeError" in str(found)


# ---- what is put back ------------------------------------------------------------------------------------------------

COUNTS = {"calls": 0}
TOTAL = 0


def test_all_that_a_step_changes_is_put_back() -> None:
    step, model, optimizer = training()
    seen: list[float] = []
    host = np.zeros(2)

    class Meter:
        best = 0.0

    meter = Meter()
    calls = 0

    def counting(x: torch.Tensor, y: torch.Tensor) -> float:
        global TOTAL
        nonlocal calls
        TOTAL += 1
        calls += 1
        COUNTS["calls"] += 1
        host[0] += 1
        meter.best = step(x, y)
        seen.append(meter.best)
        return meter.best

    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, y = sample(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    random, version = torch.get_rng_state(), x._version
    assert torch.compare(counting, x, y, backends=("numpy", "strict"))
    assert all((value == before[name]).all() for name, value in model.state_dict().items())
    assert all(p.grad is None and p.device == torch.device("numpy") and p.is_leaf for p in model.parameters())
    assert not optimizer.state
    assert (TOTAL, calls, COUNTS, seen, meter.best, host.tolist()) == (0, 0, {"calls": 0}, [], 0.0, [0.0, 0.0])
    assert x.grad is None and x._version == version
    assert (torch.get_rng_state() == random).all()


def test_random_numbers_go_on_as_if_nothing_had_been_drawn() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert torch.compare(lambda: torch.rand(4), backends=("numpy", "strict"))
    assert (torch.rand(3) == expected).all()


def test_arguments_that_share_memory_share_it_on_both_engines() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    row = x[1]

    def write(x: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        row.add_(10)
        return x.sum()

    with torch.no_grad():
        assert torch.compare(write, x, row, backends=("numpy", "strict"))
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    row.fill_(0)
    assert x[1].tolist() == [0, 0, 0]


def test_a_tensor_with_a_history_keeps_it() -> None:
    x = sample(3)
    y = x * 2
    found = torch.compare(lambda y: y.exp(), y, backends=("numpy", "strict"))
    assert found and found.gradients == 1
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2, 2, 2]


def test_kernels_and_switches_are_put_back_after_an_error(register: Register) -> None:
    engine = engine_for("numpy")
    table, call, exp = list(engine.table), ViewOp.__call__, engine.F.exp
    name = register(wrong_engines.ERROR)
    torch.compare(lambda x: x.tanh()[0], sample(3), backends=("numpy", name))
    assert all(a is b for a, b in zip(engine.table, table, strict=True))
    assert ViewOp.__call__ is call and engine.F.exp is exp
    assert current_trace() is None and not torch.autograd.is_anomaly_enabled()
    assert torch.get_backend() == "numpy" and torch.is_grad_enabled()


# ---- wrong use -------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "no function": (3, {}, TypeError, "compare() got int for the function, expected something to call"),
    "one backend": (abs, {"backends": "numpy"}, ValueError, "expected the names of two, such as ('numpy', 'jax')"),
    "three backends": (abs, {"backends": ("a", "b", "c")}, ValueError, "expected the names of two"),
    "the same twice": (abs, {"backends": ("numpy", "numpy")}, ValueError, "'numpy' twice"),
    "a negative tolerance": (abs, {"rtol": -1}, ValueError, "got rtol=-1, expected a number that is not negative"),
    "no tolerance": (abs, {"atol": "x"}, ValueError, "got atol='x'"),
    "an unknown backend": (abs, {"backends": ("numpy", "nonsense")}, BackendNotFoundError, "nonsense"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_answered_with_a_sentence(case: str) -> None:
    function, keywords, error, words = WRONG[case]
    with pytest.raises(error) as raised:
        torch.compare(function, torch.ones(2), **keywords)
    assert words in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_dtype_that_an_engine_lacks_is_named_and_nothing_moves(register: Register) -> None:
    name = register(wrong_engines.POOR)
    x, y = torch.ones(2), torch.ones(2, dtype=torch.float64)
    with pytest.raises(NotSupportedError, match="float64"):
        torch.compare(lambda x, y: x, x, y, backends=("numpy", name))
    assert x.device == y.device == torch.device("numpy") and not issubclass(NotSupportedError, BackendError)


def test_importing_the_package_loads_neither_tool() -> None:
    code = "import sys, torchplug; print([m for m in sys.modules if m.startswith('torchplug.explaining.')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
