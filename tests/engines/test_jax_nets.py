"""Convolution and pooling on JAX, in the sizes where it has kernels of its own, against the NumPy engine in float64."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax")

import torchplug as torch
from torchplug.nn import functional as F

CONVOLUTIONS = {
    "few terms": ((4, 1, 9, 8), (5, 1, 3, 3), {}),
    "few terms, odd batch": ((3, 1, 9, 8), (5, 1, 3, 3), {"padding": 1}),
    "three channels": ((4, 3, 9, 8), (5, 3, 3, 3), {"stride": 2, "padding": 1}),
    "some channels": ((4, 10, 9, 8), (6, 10, 3, 3), {"padding": 2, "dilation": 2}),
    "many channels": ((2, 16, 7, 8), (6, 16, 3, 3), {"padding": 1}),
    "stride with a rest": ((2, 16, 8, 9), (6, 16, 3, 3), {"stride": 2}),
    "one place": ((2, 16, 8, 9), (6, 16, 1, 1), {"stride": 2}),
    "groups": ((2, 16, 8, 9), (6, 8, 3, 3), {"groups": 2, "padding": 1}),
    "one dimension": ((4, 9, 12), (5, 9, 4), {"stride": 3, "padding": 2}),
    "three dimensions": ((2, 9, 4, 5, 6), (3, 9, 2, 2, 3), {"padding": (1, 0, 1)}),
    "large columns": ((6, 4, 64, 64), (4, 4, 5, 5), {"padding": 2}),
    "no inputs": ((0, 16, 8, 9), (6, 16, 3, 3), {}),
}


def gradients(engine, function, arrays):
    with torch.use_backend(engine):
        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        out = function(*tensors)
        weights = torch.tensor(np.random.default_rng(1).standard_normal(tuple(out.shape)))
        (out * weights).sum().backward()
        return [np.array(x.detach().tolist()).reshape(x.shape) for x in (out, *(x.grad for x in tensors))]


def agree(function, arrays):
    for ours, known in zip(gradients("jax", function, arrays), gradients("numpy", function, arrays), strict=True):
        np.testing.assert_allclose(ours, known, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_of_all_sizes_agree_with_the_composition(case):
    size, kernel, options = CONVOLUTIONS[case]
    numbers = np.random.default_rng(0)
    arrays = [numbers.standard_normal(shape) for shape in (size, kernel, kernel[:1])]
    functions = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
    agree(lambda x, w, b: functions[len(size)](x, w, b, **options), arrays)


def test_a_transposed_convolution_with_output_padding_agrees():
    numbers = np.random.default_rng(0)
    arrays = [numbers.standard_normal(shape) for shape in ((2, 6, 4, 5), (6, 12, 3, 3))]
    agree(lambda x, w: F.conv_transpose2d(x, w, stride=3, output_padding=2), arrays)


@pytest.mark.parametrize(
    "options",
    (
        {"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": 2, "stride": 3},
        {"kernel_size": (1, 3), "dilation": 2, "stride": 1}, {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    ),
)  # fmt: skip
@pytest.mark.parametrize("ties", (False, True))
def test_maxima_of_windows_and_their_gradients_agree(options, ties):
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 10))
    if ties:
        x = x.round()
    agree(lambda x: F.max_pool2d(x, **options), [x])


@pytest.mark.parametrize("stride", (2, 1))
def test_a_nan_is_the_greatest_of_its_windows(stride):
    x = np.ones((1, 1, 4, 4))
    x[0, 0, 1, 1] = np.nan
    with torch.use_backend("jax"):
        tensor = torch.tensor(x, requires_grad=True)
        F.max_pool2d(tensor, 2, stride).sum().backward()
        assert tensor.grad[0, 0, 1, 1].item() == (1.0 if stride == 2 else 4.0)


@pytest.mark.parametrize("reduction", ("mean", "sum", "none"))
def test_losses_over_classes_ignore_what_is_ignored(reduction):
    x = np.random.default_rng(0).standard_normal((6, 5))
    x[2] = 1e30
    target = [1, 4, 0, 0, 2, 0]

    def loss(x):
        return F.nll_loss(x, torch.tensor(target), torch.ones(5, dtype=torch.float64) * 2, None, 0, None, reduction)

    agree(loss, [x])
