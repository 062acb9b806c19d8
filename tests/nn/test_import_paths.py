"""Names that programs import from inside torch.nn."""

from __future__ import annotations

from typing import Any

import pytest
from same_program import assert_same

import torchplug

PATHS = [
    "nn.modules.batchnorm._BatchNorm", "nn.modules.batchnorm._NormBase", "nn.modules.conv._ConvNd",
    "nn.modules.conv._ConvTransposeNd", "nn.modules.instancenorm._InstanceNorm", "nn.modules.loss._Loss",
    "nn.modules.loss._WeightedLoss", "nn.modules.pooling._MaxPoolNd", "nn.modules.dropout._DropoutNd",
    "nn.modules.module.Module", "nn.modules.Linear", "nn.modules.utils._pair", "nn.modules.utils._ntuple",
    "nn.modules.lazy.LazyModuleMixin", "nn.modules.linear.NonDynamicallyQuantizableLinear", "nn.common_types._size_2_t",
    "nn.modules.rnn.RNNBase", "nn.modules.rnn.LSTM", "nn.utils.rnn.PackedSequence", "nn.utils.rnn.pad_sequence",
    "nn.parameter.Parameter", "nn.parameter.is_lazy", "nn.parallel.DataParallel", "nn.init.calculate_gain",
    "nn.utils.clip_grad.clip_grad_norm_", "nn.utils.weight_norm", "nn.utils.parametrizations.weight_norm",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_pytorch_leads_somewhere(path: str) -> None:
    torch = pytest.importorskip("torch")
    for library in (torch, torchplug):
        found: Any = library
        for name in path.split("."):
            found = getattr(found, name)


def test_a_convolution_can_be_made_from_the_base_class() -> None:
    def program(torch: Any) -> Any:
        class Mine(torch.nn.modules.conv._ConvNd):
            def __init__(self) -> None:
                pair = torch.nn.modules.utils._pair
                super().__init__(2, 4, pair(3), pair(1), pair(0), pair(1), False, pair(0), 1, True, "zeros")

            def forward(self, x: Any) -> Any:
                return torch.nn.functional.conv2d(x, self.weight, self.bias, self.stride)

        layer = Mine()
        return repr(layer), layer.state_dict(), layer(torch.ones(1, 2, 4, 4))

    assert_same(program)


@pytest.mark.parametrize("value", [3, (1, 2), [3, 4], "ab"])
def test_sizes_are_spread_over_dimensions(value: Any) -> None:
    def program(torch: Any) -> Any:
        tools = torch.nn.modules.utils
        return tools._single(value), tools._pair(value), tools._ntuple(5)(value), tools._reverse_repeat_tuple((1, 2), 2)

    assert_same(program)


@pytest.mark.parametrize("size, defaults", [(3, (4, 5)), ((None, 2), (7, 8, 9)), ((1, 2), (3,)), ((1, None), (3, 4))])
def test_sizes_fall_back_on_defaults(size: Any, defaults: tuple) -> None:
    assert_same(lambda torch: torch.nn.modules.utils._list_with_default(size, defaults))


def test_a_prefix_is_taken_off_a_state() -> None:
    def program(torch: Any) -> Any:
        net = torch.nn.DataParallel(torch.nn.Sequential(torch.nn.Linear(2, 2)))
        state = net.state_dict()
        torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
        return state, dict(state._metadata), net.module.load_state_dict(state)

    assert_same(program)


def test_data_parallel_runs_the_module() -> None:
    def program(torch: Any) -> Any:
        net = torch.nn.DataParallel(torch.nn.Linear(2, 2))
        return net(torch.ones(1, 2)), repr(net), list(net.state_dict()), net.module.in_features

    assert_same(program)
