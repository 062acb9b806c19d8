"""Modules on every engine: the same first weights, gradients, states, and moves between engines."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from constructions import build, inputs

import torchplug as torch
from torchplug import nn


def _net() -> Any:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def _host(x: Any) -> np.ndarray:
    return x.detach().cpu().numpy()


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    """Output and gradients of the net on the numpy engine."""
    with torch.use_backend("numpy"):
        net, x = _net(), torch.arange(8.0).reshape(2, 4)
        out = net(x)
        out.square().sum().backward()
        return {"out": _host(out), **{name: _host(p.grad) for name, p in net.named_parameters()}}


def test_a_net_computes_the_same_on_every_engine(backend: str, expected: dict[str, np.ndarray]) -> None:
    net, x = _net(), torch.arange(8.0).reshape(2, 4)
    out = net(x)
    out.square().sum().backward()
    np.testing.assert_allclose(_host(out), expected["out"], rtol=1e-5)
    for name, parameter in net.named_parameters():
        np.testing.assert_allclose(_host(parameter.grad), expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_state_is_shared_and_loads_on_every_engine(backend: str) -> None:
    net, other = _net(), _net()
    state = net.state_dict()
    with torch.no_grad():
        net[0].weight.mul_(2)
    np.testing.assert_array_equal(_host(state["0.weight"]), _host(net[0].weight))
    other.load_state_dict(state)
    np.testing.assert_array_equal(_host(other[0].weight), _host(net[0].weight))
    with torch.no_grad():
        net[0].weight.zero_()
    assert _host(other[0].weight).any()


def test_a_deep_copy_is_independent_on_every_engine(backend: str) -> None:
    net = _net()
    other = copy.deepcopy(net)
    with torch.no_grad():
        net[0].weight.zero_()
    assert _host(other[0].weight).any()
    other(torch.ones(1, 4)).sum().backward()
    assert net[2].weight.grad is None and other[2].weight.grad is not None


def test_a_net_changes_dtype_in_place_on_every_engine(backend: str) -> None:
    net = _net()
    weight = net[0].weight
    net(torch.ones(1, 4)).sum().backward()
    assert net.double()[0].weight is weight
    assert weight.dtype is torch.float64 and weight.grad.dtype is torch.float64
    net.zero_grad()
    net(torch.ones(1, 4, dtype=torch.float64)).sum().backward()
    assert weight.grad is not None and weight.grad.dtype is torch.float64


def test_a_net_moves_from_engine_to_engine(backend: str, expected: dict[str, np.ndarray]) -> None:
    with torch.use_backend("numpy"):
        net = _net()
    weight = net[0].weight
    device = torch.ones(1).device
    assert net.to(device)[0].weight is weight and weight.device == device
    out = net(torch.arange(8.0).reshape(2, 4))
    out.square().sum().backward()
    np.testing.assert_allclose(_host(out), expected["out"], rtol=1e-5)
    np.testing.assert_allclose(_host(weight.grad), expected["0.weight"], rtol=1e-4, atol=1e-6)


def test_backward_hooks_see_gradients_on_every_engine(backend: str) -> None:
    net, seen = _net(), []
    net[1].register_full_backward_hook(lambda module, grads, outs: seen.append((_host(grads[0]), _host(outs[0]))))
    net(torch.arange(8.0).reshape(2, 4)).sum().backward()
    (received, sent), mask = seen[0], _host(net[0](torch.arange(8.0).reshape(2, 4))) > 0
    np.testing.assert_allclose(received, sent * mask)


def test_clipping_scales_on_every_engine(backend: str) -> None:
    net = _net()
    net(torch.arange(8.0).reshape(2, 4)).square().sum().backward()
    before = nn.utils.clip_grad_norm_(net.parameters(), 0.5)
    after = nn.utils.get_total_norm([p.grad for p in net.parameters()])
    assert before.item() > 0.5 and abs(after.item() - 0.5) < 1e-4


def test_lazy_layers_materialize_on_every_engine(backend: str) -> None:
    torch.manual_seed(5)
    net = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(2))
    out = net(torch.arange(8.0).reshape(2, 4))
    assert out.shape == (2, 2) and type(net[0]) is nn.Linear
    out.sum().backward()
    assert net[0].weight.grad is not None


# One layer of every file of layers, and what to call it with.
LAYERS = [
    ("Bilinear(2, 3, 4)", "5,2 & 5,3"), ("Conv2d(2, 4, 3, padding=1, padding_mode='reflect')", "2,2,6,7"),
    ("ConvTranspose1d(4, 2, 3, 3, 1, 2, 2)", "3,4,5"), ("MaxPool2d(3, 2, 1)", "2,3,7,6"), ("AvgPool1d(2)", "2,3,7"),
    ("AdaptiveAvgPool2d((2, None))", "2,3,7,6"), ("BatchNorm2d(3)", "4,3,2,2"), ("LayerNorm((2, 3))", "4,2,3"),
    ("InstanceNorm1d(3, track_running_stats=True)", "2,3,5"), ("Dropout()", "4,30"), ("Embedding(3, 4, -1)", "2,5i"),
    ("PReLU(3)", "4,3,2"), ("GELU()", "4,5"), ("CrossEntropyLoss()", "4,3 & 4n"), ("BCEWithLogitsLoss()", "4,5 & 4,5p"),
    ("CosineSimilarity()", "4,3 & 4,3"), ("PixelShuffle(2)", "2,4,3,2"), ("Upsample(scale_factor=2)", "2,3,4"),
    ("LSTM(3, 4, 2, bidirectional=True)", "5,2,3"), ("GRU(3, 4)", "5,2,3"), ("CircularPad1d(1)", "2,3,4"), ("Unfold(2)", "2,3,4,4"), ("AdaptiveLogSoftmaxWithLoss(8, 10, [1, 2], 2.0)", "4,8 & 4n"),
]  # fmt: skip


def _trained(construction: str, shapes: str) -> list[np.ndarray]:
    """Returns output, gradients and state of a layer after one step forward and back."""
    torch.manual_seed(5)
    layer, args = build(torch, construction), inputs(torch, shapes)
    out = layer(*args)
    out = out if isinstance(out, torch.Tensor) else getattr(out, "loss", out[0])
    out.square().sum().backward()
    grads = [x.grad for x in (*args, *layer.parameters()) if x.requires_grad]
    return [_host(x) for x in (out, *grads, *layer.state_dict().values())]


@pytest.mark.parametrize("construction, shapes", LAYERS)
def test_a_layer_trains_the_same_on_every_engine(backend: str, construction: str, shapes: str) -> None:
    with torch.use_backend("numpy"):
        expected = _trained(construction, shapes)
    for found, wanted in zip(_trained(construction, shapes), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)
