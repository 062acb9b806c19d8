"""Random numbers, and tensors made like others, follow the order of elements in memory as PyTorch's do."""

from __future__ import annotations

import itertools

import pytest

import torchplug
from torchplug._core.geometry import dense_strides

torch = pytest.importorskip("torch")

LAYOUTS = {
    "whole": lambda x: x,
    "transposed": lambda x: x.permute(2, 1, 0),
    "rotated": lambda x: x.permute(1, 2, 0),
    "stepped": lambda x: x[:, ::2],
    "rotated and stepped": lambda x: x.permute(2, 0, 1)[::2],
    "stretched": lambda x: x[:, :1].expand(4, 3, 5),
    "stretched and rotated": lambda x: x[:1].expand(4, 3, 5).permute(1, 2, 0),
    "short": lambda x: x[:, :, :1].permute(2, 0, 1),
}

DRAWS = {
    "rand_like": lambda lib, x: lib.rand_like(x),
    "randn_like": lambda lib, x: lib.randn_like(x),
    "randint_like": lambda lib, x: lib.randint_like(x, 9),
    "dropout": lambda lib, x: lib.nn.functional.dropout(x, 0.4),
    "feature_dropout": lambda lib, x: lib.feature_dropout(x, 0.4, True),
    "alpha_dropout": lambda lib, x: lib.nn.functional.alpha_dropout(x, 0.4, True),
    "bernoulli": lambda lib, x: lib.bernoulli(x),
    "poisson": lambda lib, x: lib.poisson(x),
    "multinomial": lambda lib, x: lib.multinomial(x[0], 1),
    "several of multinomial": lambda lib, x: lib.multinomial(x[:, 0], x.shape[2]),
    "multinomial with replacement": lambda lib, x: lib.multinomial(x[:, 0], 6, True),
    "normal of means": lambda lib, x: lib.normal(x, 2.0),
    "normal of deviations": lambda lib, x: lib.normal(0.0, x),
    "rrelu": lambda lib, x: lib.nn.functional.rrelu(x - 0.5, training=True),
}

FILLS = {
    "uniform_": (1.0, 3.0),
    "normal_": (1.0, 2.0),
    "random_": (3, 90),
    "exponential_": (),
    "geometric_": (0.3,),
    "log_normal_": (),
    "cauchy_": (),
    "bernoulli_": (0.3,),
}


def laid_out(lib, layout):
    return LAYOUTS[layout]((lib.arange(60.0).view(4, 3, 5) + 0.5) / 60)


def values(x):
    return x.flatten().tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", DRAWS)
def test_numbers_drawn_beside_a_tensor_are_pytorchs(backend, name, layout):
    found = []
    for lib in (torchplug, torch):
        lib.manual_seed(3)
        found.append(values(DRAWS[name](lib, laid_out(lib, layout))))
    assert found[0] == pytest.approx(found[1], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if not name.startswith("stretched")])
@pytest.mark.parametrize("name", FILLS)
def test_numbers_drawn_into_a_tensor_are_pytorchs(backend, name, layout):
    found = []
    for lib in (torchplug, torch):
        lib.manual_seed(3)
        x = laid_out(lib, layout)
        getattr(x, name)(*FILLS[name])
        found.append(values(x))
    assert found[0] == pytest.approx(found[1], rel=1e-5, abs=1e-7)


def test_probabilities_beside_a_transposed_tensor_are_drawn_in_its_order(backend):
    found = []
    for lib in (torchplug, torch):
        lib.manual_seed(3)
        x = lib.zeros(5, 4).t()
        x.bernoulli_(lib.arange(20.0).view(4, 5) / 20)
        found.append(values(x))
    assert found[0] == found[1]


@pytest.mark.parametrize("like", ["empty_like", "zeros_like", "ones_like", "rand_like"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tensor_made_like_another_keeps_the_order_of_its_memory(like, layout):
    with torchplug.use_backend("numpy"):
        ours = getattr(torchplug, like)(laid_out(torchplug, layout))
    theirs = getattr(torch, like)(laid_out(torch, layout))
    long = [dim for dim, length in enumerate(theirs.shape) if length > 1]
    assert [ours.stride()[dim] for dim in long] == [theirs.stride()[dim] for dim in long]


@pytest.mark.parametrize("like", ["empty_like", "zeros_like", "clone"])
def test_a_tensor_made_like_another_is_in_c_order_on_request(backend, like):
    x = torchplug.ones(3, 4).t()
    made = getattr(torchplug, like)(x, memory_format=torchplug.contiguous_format)
    assert made.stride() == (3, 1)
    assert made is not x


def test_dense_strides_are_those_of_a_tensor_pytorch_makes_like_another():
    base = torch.empty(2, 1, 3, 4)
    for axes in itertools.permutations(range(4)):
        moved = base.permute(axes)
        for x in (moved, moved[:1], moved[::2], moved[..., :1].expand(*moved.shape[:3], 5), moved.unsqueeze(1)):
            theirs = torch.empty_like(x).stride()
            ours = dense_strides(tuple(x.shape), x.stride())
            long = [dim for dim, length in enumerate(x.shape) if length > 1]
            assert [ours[dim] for dim in long] == [theirs[dim] for dim in long], (x.shape, x.stride())
