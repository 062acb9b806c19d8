"""Every layer beside PyTorch's: its text, its first weights from one seed, its outputs and gradients."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from typing import Any

import pytest
from constructions import CALLS, CONSTRUCTIONS, build, inputs
from same_program import assert_same

import torchplug
from torchplug.nn import modules


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
def test_a_layer_prints_and_starts_as_pytorchs(construction: str) -> None:
    def program(torch: Any) -> Any:
        layer = build(torch, construction)
        lazy = "Lazy" in construction
        attributes = {key: value for key, value in sorted(vars(layer).items()) if key[0] != "_"}
        state = list(layer.state_dict()) if lazy else layer.state_dict(keep_vars=True)
        return (
            repr(layer),
            list(layer._parameters),
            list(layer._buffers),
            layer._version,
            attributes,
            state,
            torch.rand(1),
        )

    assert_same(program)


def _tensors(out: Any) -> list[Any]:
    return [out] if hasattr(out, "detach") else [x for x in out if hasattr(x, "detach")]


@pytest.mark.parametrize("construction, shapes", CALLS)
def test_a_layer_computes_and_differentiates_as_pytorchs(construction: str, shapes: str) -> None:
    def program(torch: Any) -> Any:
        layer = build(torch, construction)
        args = inputs(torch, shapes)
        out = _tensors(layer(*args))
        loss = sum(
            (x * (torch.arange(float(x.numel())).reshape(x.shape) + 1)).sum() for x in out if x.is_floating_point()
        )
        if loss.requires_grad:
            loss.backward()
        grads = [x.grad for x in args if x.requires_grad]
        return out, grads, [p.grad for p in layer.parameters()], layer.state_dict(), repr(layer)

    assert_same(program, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("construction, shapes", CALLS)
def test_a_layer_evaluates_as_pytorchs(construction: str, shapes: str) -> None:
    def program(torch: Any) -> Any:
        layer = build(torch, construction)
        args = inputs(torch, shapes)
        layer(*args)
        with torch.no_grad():
            return [x.detach() for x in _tensors(layer.eval()(*args))]

    assert_same(program, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("construction", ["CrossMapLRN2d(3)", "CrossMapLRN2d(2, 0.1, 0.5, 2)", "CrossMapLRN2d(6)"])
def test_response_over_maps_has_pytorchs_values_and_the_gradient_of_them(construction: str) -> None:
    # PyTorch's backward of this layer is not the derivative of its forward, so only the values are compared with it.
    assert_same(lambda torch: build(torch, construction)(torch.rand(2, 5, 2, 3)))
    x = torchplug.rand(1, 5, 1, 2, dtype=torchplug.float64).requires_grad_()
    assert torchplug.autograd.gradcheck(build(torchplug, construction), x)


def test_classes_of_an_adaptive_softmax_have_pytorchs_probabilities() -> None:
    def program(torch: Any) -> Any:
        layer = build(torch, "AdaptiveLogSoftmaxWithLoss(8, 10, [3, 6], 2.0)")
        x = torch.randn(5, 8)
        return layer.log_prob(x), layer.predict(x), layer.log_prob(x).exp().sum(1)

    assert_same(program)


@pytest.mark.parametrize("shapes", [((4, 8), (3,)), ((4, 8), (4, 1)), ((8,), (1,)), ((4, 8), ())])
def test_an_adaptive_softmax_checks_its_inputs(shapes: tuple) -> None:
    def program(torch: Any) -> Any:
        layer = build(torch, "AdaptiveLogSoftmaxWithLoss(8, 10, [3, 6], 2.0)")
        return layer(torch.zeros(shapes[0]), torch.zeros(shapes[1], dtype=torch.int64))

    assert_same(program)


@pytest.mark.parametrize("target", [-1, 10])
def test_an_adaptive_softmax_checks_its_targets(target: int) -> None:
    def program(torch: Any) -> Any:
        return build(torch, "AdaptiveLogSoftmaxWithLoss(8, 10, [3, 6], 2.0)")(torch.zeros(1, 8), torch.tensor([target]))

    assert_same(program)


@pytest.mark.parametrize("construction", [c for c in CONSTRUCTIONS if "torch." not in c])
def test_a_layer_survives_copying_and_pickling(construction: str) -> None:
    with warnings.catch_warnings():
        # The default div_value of AdaptiveLogSoftmaxWithLoss makes an empty hidden layer.
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        layer = build(torchplug, construction)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(other) == repr(layer)
        assert list(other.state_dict()) == list(layer.state_dict())


LATER = {
    "MultiheadAttention", "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer",
     "Container", "LinearCrossEntropyLoss", "LinearCrossEntropyOptions",
}  # fmt: skip


def _layers() -> list[str]:
    return [name for name in modules.__all__ if inspect.isclass(getattr(modules, name))]


def test_every_layer_of_pytorch_is_there() -> None:
    torch = pytest.importorskip("torch")
    names = {name for name in dir(torch.nn) if inspect.isclass(getattr(torch.nn, name))}
    assert names - LATER <= set(dir(torchplug.nn))


@pytest.mark.parametrize("name", _layers())
def test_a_layer_takes_pytorchs_arguments_from_pytorchs_place(name: str) -> None:
    torch = pytest.importorskip("torch")
    expected, found = getattr(torch.nn, name), getattr(torchplug.nn, name)
    assert found.__module__ == expected.__module__.replace("torch.", "torchplug.")
    signatures = [inspect.signature(cls.__init__).parameters for cls in (found, expected)]
    if "args" not in signatures[0] and "args" not in signatures[1]:
        ours, theirs = ([(p.name, p.default) for p in parameters.values()] for parameters in signatures)
        assert ours == theirs


@pytest.mark.parametrize("name", _layers())
def test_a_layer_is_documented_with_types(name: str) -> None:
    cls = getattr(torchplug.nn, name)
    assert cls.__doc__ and (cls.__doc__ != modules.Module.__doc__ or cls is modules.Module)
    hints = cls.__init__.__annotations__
    code = cls.__init__.__code__
    missing = [known for known in code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount] if known not in hints]
    assert not missing
