"""Kernels of the NumPy engine on sizes that take their large, blocked and turned-round ways, against float64 sums."""

from __future__ import annotations

import numpy as np
import pytest

import torchplug as torch
from torchplug_numpy.kernels import attention
from torchplug_numpy.kernels.linear import _by_transposed


@pytest.fixture(autouse=True)
def on_numpy() -> object:
    with torch.use_backend("numpy"):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(("rows", "width", "outputs"), [(2, 128, 128), (32, 200, 300), (64, 1000, 100), (65, 300, 300)])
def test_a_linear_layer_of_few_rows_gives_products_in_c_order(rows: int, width: int, outputs: int) -> None:
    random = np.random.default_rng(0)
    x, weight = random.standard_normal((rows, width)), random.standard_normal((outputs, width))
    out = _by_transposed(x.astype("f"), weight.astype("f"))
    assert out.flags.c_contiguous and out.shape == (rows, outputs)
    np.testing.assert_allclose(out, x @ weight.T, 1e-4, 1e-3)


def _entropy(x: np.ndarray, target: np.ndarray, ignored: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the losses of rows, which of them count, and the softmax."""
    shifted = x.astype("d") - x.max(1, keepdims=True)
    softmax = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    counts = target != ignored
    return -np.log(softmax[np.arange(len(x)), np.where(counts, target, 0)]) * counts, counts, softmax


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignored", [-100, 3, 1000])
def test_cross_entropy_over_several_blocks_of_rows_is_minus_the_log_of_the_softmax(
    reduction: str, ignored: int
) -> None:
    x = (4 * torch.randn(700, 300)).requires_grad_()
    target = torch.randint(300, (700,))
    if ignored != 3:
        target[5::7] = ignored
    losses, counts, softmax = _entropy(x.detach().numpy(), target.numpy(), ignored)
    loss = torch.nn.functional.cross_entropy(x, target, ignore_index=ignored, reduction=reduction)
    g = torch.rand_like(loss)
    loss.backward(g)
    expected = {"mean": losses.sum() / counts.sum(), "sum": losses.sum(), "none": losses}[reduction]
    np.testing.assert_allclose(loss.detach().numpy(), expected, 2e-5, 1e-5)
    softmax[np.arange(700), np.where(counts, target.numpy(), 0)] -= 1
    slope = g.numpy().astype("d") / (counts.sum() if reduction == "mean" else 1) * counts
    np.testing.assert_allclose(x.grad.numpy(), softmax * slope[:, None], 1e-3, 1e-6)


def test_cross_entropy_of_rows_that_lie_apart_is_that_of_a_copy() -> None:
    x, target = torch.randn(40, 30), torch.randint(10, (20,))
    cross_entropy = torch.nn.functional.cross_entropy
    assert torch.equal(cross_entropy(x[::2, ::3], target), cross_entropy(x[::2, ::3].clone(), target))
    assert torch.allclose(cross_entropy(x.T[:20, :10], target), cross_entropy(x.T[:20, :10].contiguous(), target))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [(40, 50, 8), (9, 3, 70, 8), (2, 3, 4, 30, 8), (300, 16)])
def test_attention_of_many_sequences_is_the_sum_that_defines_it(shape: tuple[int, ...], causal: bool) -> None:
    random = np.random.default_rng(0)
    # Heads taken out of the rows, as models take them: no array lies in C order.
    q, k, v = (random.standard_normal((*shape[:-2], shape[-1], shape[-2])).swapaxes(-1, -2) for _ in range(3))
    scores = np.matmul(q, k.swapaxes(-1, -2)) * 0.3
    if causal:
        scores = np.where(np.tri(shape[-2], dtype=bool), scores, -np.inf)
    expected = np.exp(scores - scores.max(-1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    out, weights = attention._attention(q.astype("f"), k.astype("f"), v.astype("f"), None, causal, 0.3)
    np.testing.assert_allclose(weights, expected, 1e-4, 1e-6)
    np.testing.assert_allclose(out, expected @ v, 1e-4, 1e-5)
    g = random.standard_normal(out.shape)
    slope = expected * (g @ v.swapaxes(-1, -2))
    slope = (slope - expected * slope.sum(-1, keepdims=True)) * 0.3
    found = attention._attention_backward(
        *(x.astype("f") for x in (g, q, k, v, expected)), 0.3, (), (True, True, True, False)
    )
    wanted = slope @ k, slope.swapaxes(-1, -2) @ q, expected.swapaxes(-1, -2) @ g
    for array, right in zip(found, wanted, strict=False):
        np.testing.assert_allclose(array, right, 1e-3, 1e-5)
