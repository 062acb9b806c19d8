"""Random numbers: every generator and initialiser from one seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchplug_conformance.recipes.running import plain

__all__ = ["STREAMS", "run_stream"]

STREAMS: dict[str, Callable[[Any], Any]] = {
    "rand": lambda t: (t.rand(5), t.rand(3, 7), t.rand(4, dtype=t.float64)),
    "randn": lambda t: (t.randn(5), t.randn(16), t.randn(3, 7), t.randn(3)),
    "randint": lambda t: (t.randint(10, (8,)), t.randint(-5, 2**40, (6,))),
    "randperm": lambda t: (t.randperm(12), t.randperm(3)),
    "normal": lambda t: (t.normal(2.0, 3.0, (6,)), t.normal(t.zeros(4), t.ones(4))),
    "bernoulli": lambda t: t.bernoulli(t.full((12,), 0.3)),
    "multinomial": lambda t: (
        t.multinomial(t.tensor([1.0, 3.0, 2.0]), 2),
        t.multinomial(t.tensor([1.0, 3.0, 2.0]), 6, replacement=True),
    ),
    "poisson": lambda t: t.poisson(t.tensor([0.5, 3.0, 20.0])),
    "uniform_": lambda t: t.empty(9).uniform_(-1, 2),
    "normal_": lambda t: t.empty(20).normal_(1, 2),
    "exponential_": lambda t: t.empty(7).exponential_(1.5),
    "geometric_": lambda t: t.empty(7).geometric_(0.3),
    "cauchy_": lambda t: t.empty(7).cauchy_(),
    "log_normal_": lambda t: t.empty(20).log_normal_(),
    "random_": lambda t: t.empty(7, dtype=t.int64).random_(3, 50),
    "bernoulli_": lambda t: t.empty(12).bernoulli_(0.7),
    "dropout": lambda t: t.nn.functional.dropout(t.ones(20), 0.4),
    "interleaved": lambda t: (t.rand(3), t.randn(4), t.rand(2), t.randn(17), t.randint(9, (2,)), t.randn(1)),
    "generator": lambda t: t.rand(4, generator=t.Generator().manual_seed(5)),
    "xavier_uniform_": lambda t: t.nn.init.xavier_uniform_(t.empty(4, 5)),
    "xavier_normal_": lambda t: t.nn.init.xavier_normal_(t.empty(4, 5)),
    "kaiming_uniform_": lambda t: t.nn.init.kaiming_uniform_(t.empty(4, 5), a=1.0),
    "kaiming_normal_": lambda t: t.nn.init.kaiming_normal_(t.empty(4, 5), nonlinearity="relu"),
    "trunc_normal_": lambda t: t.nn.init.trunc_normal_(t.empty(4, 5)),
}
"""Name -> a draw from the library's default generator."""


def run_stream(torch: Any, name: str) -> Any:
    """Returns two draws in a row from seed 42, and the number that follows them."""
    torch.manual_seed(42)
    first, second = STREAMS[name](torch), STREAMS[name](torch)
    return plain([first, second, torch.rand(1)])
