"""What layers refuse, with PyTorch's words: arguments of constructors and shapes of inputs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from constructions import build
from same_program import assert_same

import torchplug

CONSTRUCTIONS = [
    "Dropout(2)", "Dropout2d(-0.1)", "Linear(-1, 3)", "Linear(0, 3)", "Linear(2, 0)", "Bilinear(0, 2, 3)",
    "Conv2d(3, 4, 3, groups=2)", "Conv2d(4, 3, 3, groups=2)", "Conv2d(4, 4, 3, groups=0)", "Conv2d(4, 4, 3, groups=-1)",
    "Conv2d(4, 4, 3, 2, padding='same')",
    "Conv2d(0, 4, 3)", "Conv2d(4, 0, 3)", "Conv2d(4, 4, 0)", "ConvTranspose2d(4, 4, 3, padding_mode='reflect')",
    "ConvTranspose1d(4, 6, 3, groups=3)", "GroupNorm(3, 4)", "LayerNorm(3.5)", "BatchNorm1d(0)", "Unflatten(1, 3)",
    "Unflatten(1, (2, 'a'))", "Unflatten(1, (2.0, 3))", "Embedding(3, 4, 5)", "Embedding(3, 4, -4)", "Embedding(3, 4, 3)",
    "Embedding(3, 4, _weight=torch.ones(2, 2))", "Embedding.from_pretrained(torch.ones(3))",
    "Embedding.from_pretrained(torch.ones(3, 2), padding_idx=1).weight", "EmbeddingBag(3, 4, padding_idx=7)",
    "Embedding.from_pretrained(torch.ones(3, 2), freeze=False).weight",
    "EmbeddingBag.from_pretrained(torch.ones(3, 2), mode='sum').weight", "FractionalMaxPool2d(2)",
    "FractionalMaxPool2d(2, 3, 0.5)", "FractionalMaxPool2d(2, output_ratio=2)", "Hardtanh(2, 1)",
    "Hardtanh(min_value=-3)", "Hardtanh(max_value=3)", "MSELoss(size_average=False)", "MSELoss(reduce=False)",
    "MSELoss(True)", "MultiMarginLoss(p=3)", "MultiMarginLoss(weight=torch.ones(2, 2))", "TripletMarginLoss(margin=-1)",
    "TripletMarginWithDistanceLoss(margin=0)", "NLLLoss2d()", "AdaptiveLogSoftmaxWithLoss(4, 10, [])",
    "AdaptiveLogSoftmaxWithLoss(4, 10, [3, 2])", "AdaptiveLogSoftmaxWithLoss(4, 10, [3, 10])",
    "AdaptiveLogSoftmaxWithLoss(4, 10, [3, 3])", "AdaptiveLogSoftmaxWithLoss(4, 10, [0, 3])",
    "AdaptiveLogSoftmaxWithLoss(4, 10, [2.5, 3])", "BCELoss(weight=torch.ones(2)).state_dict()",
    "CrossEntropyLoss(weight=torch.ones(2)).state_dict()", "BCEWithLogitsLoss(pos_weight=torch.ones(2)).state_dict()",
]  # fmt: skip


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
def test_arguments_are_checked(construction: str) -> None:
    assert_same(lambda torch: build(torch, construction))


@pytest.mark.parametrize(
    "construction, words",
    [
        ("Conv2d(4, 4, 3, padding='foo')", "Invalid padding string 'foo', should be one of {'valid', 'same'}"),
        (
            "Conv2d(4, 4, 3, padding_mode='foo')",
            "padding_mode must be one of {'circular', 'reflect', 'replicate', 'zeros'}, but got padding_mode='foo'",
        ),
    ],
)
def test_names_of_paddings_are_checked(construction: str, words: str) -> None:
    # PyTorch prints these as a set, in any order.
    with pytest.raises(ValueError, match=re.escape(words)):
        build(torchplug, construction)


CALLS = [
    ("BatchNorm1d(3)", (3,)), ("BatchNorm1d(3)", (2, 3, 4, 5)), ("BatchNorm2d(3)", (2, 3)), ("BatchNorm3d(3)", (2, 3)),
    ("BatchNorm1d(3)", (1, 3)), ("BatchNorm1d(3)", (2, 4)), ("SyncBatchNorm(3)", (3,)), ("InstanceNorm1d(3)", (2,)),
    ("InstanceNorm2d(3)", (2, 3)), ("InstanceNorm3d(3)", (1, 3)), ("InstanceNorm1d(3)", (2, 4, 5)),
    ("InstanceNorm1d(3, affine=True)", (2, 4, 5)), ("InstanceNorm1d(3)", (4, 5)), ("GroupNorm(2, 4)", (2, 3, 4)),
    ("LayerNorm(3)", (2, 4)), ("RMSNorm(3)", (2, 4)), ("CircularPad1d(1)", (3,)), ("CircularPad3d(1)", (3, 2)),
    ("Softmax2d()", (3,)), ("Softmax2d()", (3, 3)), ("Unflatten(1, (2, 3))", (2, 5)), ("LogSoftmax()", (2, 2)),
    ("Softmax()", (3, 2, 2)), ("Softmin()", (2,)), ("Linear(3, 2)", (2, 4)), ("PixelShuffle(2)", (1, 3, 2, 2)),
    ("GELU('foo')", (2,)), ("LazyConv2d(3, 2)", (2, 2)), ("LazyConv2d(3, 2, groups=2)", (1, 3, 4, 4)),
    ("LazyConvTranspose1d(3, 2)", (2,)),
]  # fmt: skip


@pytest.mark.parametrize("construction, shape", CALLS)
def test_inputs_are_checked(construction: str, shape: tuple) -> None:
    def program(torch: Any) -> Any:
        return build(torch, construction)(torch.arange(float(max(1, _count(shape)))).reshape(shape))

    assert_same(program, rtol=1e-4)


def _count(shape: tuple) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


SIZES = [(9, 10), (1, 3, 9, 10), (10, 9), (11, 10), (8, 9), (11,), (1, 9, 10), [9, 9]]


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_the_output_size_of_a_transposed_convolution_is_among_the_possible(size: Any, batched: bool) -> None:
    def program(torch: Any) -> Any:
        x = torch.ones(1, 2, 4, 4)
        return torch.nn.ConvTranspose2d(2, 3, 3, stride=2)(x if batched else x[0], output_size=size)

    assert_same(program)


def test_unpooling_puts_values_back_where_they_came_from() -> None:
    def program(torch: Any) -> Any:
        results = []
        for dimensions in (1, 2, 3):
            x = torch.randn(1, 2, *(6,) * dimensions)
            pool = getattr(torch.nn, f"MaxPool{dimensions}d")(2, return_indices=True)
            unpool = getattr(torch.nn, f"MaxUnpool{dimensions}d")(2)
            results += [unpool(*pool(x)), unpool(*pool(x), output_size=x.size())]
        return results

    assert_same(program)


def test_an_old_state_of_batch_norm_is_loaded_without_its_count() -> None:
    def program(torch: Any) -> Any:
        norm = torch.nn.BatchNorm1d(2)
        state = {key: value for key, value in norm.state_dict().items() if key != "num_batches_tracked"}
        return norm.load_state_dict(state), norm.num_batches_tracked

    assert_same(program)


@pytest.mark.parametrize("tracks", [True, False])
def test_statistics_in_a_state_of_instance_norm_are_checked(tracks: bool) -> None:
    def program(torch: Any) -> Any:
        norm = torch.nn.InstanceNorm1d(2, track_running_stats=tracks)
        return norm.load_state_dict({"running_mean": torch.ones(2), "running_var": torch.ones(2)})

    assert_same(program)


def test_batch_norms_of_a_net_become_synchronized_ones() -> None:
    def program(torch: Any) -> Any:
        net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2, momentum=0.3)).eval()
        converted = torch.nn.SyncBatchNorm.convert_sync_batchnorm(net)
        return (
            repr(converted),
            converted[1].weight is net[1].weight,
            converted[1].training,
            list(converted.state_dict()),
        )

    assert_same(program)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_follow_the_batches(momentum: float | None) -> None:
    def program(torch: Any) -> Any:
        norm = torch.nn.BatchNorm1d(2, momentum=momentum)
        for step in range(3):
            norm(torch.arange(8.0).reshape(4, 2) * (step + 1))
        state = {key: value.clone() for key, value in norm.state_dict().items()}
        norm.reset_running_stats()
        return state, norm.state_dict()

    assert_same(program)


def test_lazy_layers_take_the_shapes_of_a_state_they_load() -> None:
    def program(torch: Any) -> Any:
        lazy = torch.nn.LazyLinear(3)
        uninitialized = lazy.has_uninitialized_params()
        result = lazy.load_state_dict(torch.nn.Linear(4, 3).state_dict())
        return uninitialized, result, repr(lazy), lazy.weight, lazy(torch.ones(2, 4)), repr(lazy), type(lazy)

    assert_same(program)


def test_lazy_states_cannot_be_loaded_into_initialized_layers() -> None:
    def program(torch: Any) -> Any:
        torch.nn.Linear(4, 3).load_state_dict(torch.nn.LazyLinear(3).state_dict())

    assert_same(program)


def test_lazy_layers_change_dtype_before_they_have_a_shape() -> None:
    def program(torch: Any) -> Any:
        lazy = torch.nn.LazyLinear(3).double()
        dtype = lazy.weight.dtype
        return dtype, lazy(torch.ones(2, 4, dtype=torch.float64)).dtype, lazy.weight.dtype

    assert_same(program)
