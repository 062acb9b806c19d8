"""Wrong calls fail as in PyTorch: the same exception with the same first sentence, on every engine, and nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import torchplug

torch = pytest.importorskip("torch")

INT = {"dtype": "int64"}


def ones(lib: Any, *shape: int, dtype: str = "float32") -> Any:
    return lib.ones(*shape, dtype=getattr(lib, dtype))


def int_parameter(lib: Any) -> Any:
    return lib.ones(2, dtype=lib.int64, requires_grad=True)


def spent_graph(lib: Any) -> None:
    x = lib.ones(2, requires_grad=True)
    y = (x * x).sum()
    y.backward()
    y.backward()


def stale_value(lib: Any) -> None:
    x = lib.ones(2, requires_grad=True)
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def written_leaf(lib: Any) -> None:
    x = lib.ones(2, requires_grad=True)
    x[0] = 3.0


def strange_state(lib: Any) -> None:
    lib.nn.Linear(2, 3).load_state_dict({"weight": lib.ones(2, 2), "strange": lib.ones(1)})


MISUSE: dict[str, Callable[[Any], Any]] = {
    # shapes
    "add shapes": lambda t: ones(t, 2, 3) + ones(t, 4),
    "matmul shapes": lambda t: ones(t, 2, 3) @ ones(t, 2, 3),
    "matmul scalars": lambda t: t.tensor(1.0) @ t.tensor(2.0),
    "mm of vectors": lambda t: t.mm(ones(t, 3), ones(t, 3)),
    "bmm shapes": lambda t: t.bmm(ones(t, 2, 3, 4), ones(t, 3, 4, 5)),
    "dot shapes": lambda t: t.dot(ones(t, 2), ones(t, 3)),
    "view size": lambda t: ones(t, 6).view(4, 2),
    "view of a transpose": lambda t: ones(t, 2, 3).t().view(6),
    "two unknown sizes": lambda t: ones(t, 6).view(-1, -1),
    "unknown size does not divide": lambda t: ones(t, 6).reshape(4, -1),
    "cat shapes": lambda t: t.cat([ones(t, 2, 3), ones(t, 2, 4)], 0),
    "cat of nothing": lambda t: t.cat([]),
    "stack shapes": lambda t: t.stack([ones(t, 2), ones(t, 3)]),
    "expand": lambda t: ones(t, 2, 3).expand(2, 4),
    "permute": lambda t: ones(t, 2, 3).permute(0, 0),
    "t of three dims": lambda t: ones(t, 2, 3, 4).t(),
    "split sizes": lambda t: ones(t, 5).split([2, 2]),
    "unflatten": lambda t: ones(t, 6).unflatten(0, (4, 2)),
    "linear": lambda t: t.nn.functional.linear(ones(t, 2, 3), ones(t, 4, 5)),
    "conv2d channels": lambda t: t.nn.functional.conv2d(ones(t, 1, 3, 5, 5), ones(t, 2, 4, 3, 3)),
    "conv2d dims": lambda t: t.nn.functional.conv2d(ones(t, 5, 5), ones(t, 2, 1, 3, 3)),
    "conv2d kernel": lambda t: t.nn.functional.conv2d(ones(t, 1, 1, 2, 2), ones(t, 1, 1, 3, 3)),
    "layer_norm shape": lambda t: t.nn.functional.layer_norm(ones(t, 2, 3), (4,)),
    "batch_norm one value": lambda t: t.nn.BatchNorm1d(3)(ones(t, 1, 3)),
    "setitem shape": lambda t: ones(t, 2, 3).__setitem__(0, ones(t, 2)),
    "copy_ shape": lambda t: ones(t, 2, 3).copy_(ones(t, 2, 2)),
    "in-place broadcast": lambda t: ones(t, 3).add_(ones(t, 2, 3)),
    # dimensions and places
    "sum dim": lambda t: ones(t, 2, 3).sum(2),
    "repeated dim": lambda t: ones(t, 2, 3).sum((0, 0)),
    "squeeze dim": lambda t: ones(t, 2, 3).squeeze(5),
    "softmax dim": lambda t: ones(t, 2, 3).softmax(3),
    "index out of range": lambda t: ones(t, 3)[3],
    "negative index out of range": lambda t: ones(t, 3)[-4],
    "too many indices": lambda t: ones(t, 3)[0, 0],
    "index of a 0-d tensor": lambda t: t.tensor(1.0)[0],
    "iteration of a 0-d tensor": lambda t: list(t.tensor(1.0)),
    "length of a 0-d tensor": lambda t: len(t.tensor(1.0)),
    "list index out of range": lambda t: ones(t, 3)[[0, 5]],
    "tensor index out of range": lambda t: ones(t, 3)[t.tensor([0, 5])],
    "mask shape": lambda t: ones(t, 3)[t.tensor([True, False])],
    "float index": lambda t: ones(t, 3)[t.tensor([0.0])],
    "index_select out of range": lambda t: ones(t, 3).index_select(0, t.tensor([3])),
    "gather out of range": lambda t: ones(t, 3).gather(0, t.tensor([3])),
    "gather dtype": lambda t: ones(t, 3).gather(0, ones(t, 3)),
    "scatter out of range": lambda t: ones(t, 3).scatter(0, t.tensor([5]), 1.0),
    "take out of range": lambda t: ones(t, 3).take(t.tensor([7])),
    "embedding out of range": lambda t: t.nn.functional.embedding(t.tensor([5]), ones(t, 3, 2)),
    "target out of range": lambda t: t.nn.functional.cross_entropy(ones(t, 2, 3), t.tensor([0, 3])),
    "one_hot out of range": lambda t: t.nn.functional.one_hot(t.tensor([3]), 2),
    "negative step": lambda t: ones(t, 3)[::-1],
    "narrow": lambda t: ones(t, 3).narrow(0, 2, 5),
    "select": lambda t: ones(t, 3).select(0, 4),
    "topk": lambda t: ones(t, 3).topk(4),
    # types
    "mm dtypes": lambda t: t.mm(ones(t, 2, 2), ones(t, 2, 2, dtype="float64")),
    "in-place cast": lambda t: ones(t, 2, **INT).add_(1.5),
    "mean of integers": lambda t: ones(t, 2, **INT).mean(),
    "softmax of integers": lambda t: ones(t, 2, **INT).softmax(0),
    "exp of text": lambda t: t.exp("x"),
    "add of text": lambda t: t.add(ones(t, 2), "x"),
    "ragged list": lambda t: t.tensor([[1, 2], [3]]),
    "text in a list": lambda t: t.tensor(["a"]),
    "NaN to an integer": lambda t: t.tensor([float("nan")], dtype=t.int64),
    "NaN of a tensor to int()": lambda t: int(t.tensor(float("nan"))),
    "huge integer": lambda t: t.tensor([2**70]),
    "integers that need gradients": int_parameter,
    "bool minus bool": lambda t: t.tensor([True]) - t.tensor([True]),
    "negated bool": lambda t: -t.tensor([True]),
    "order of complex numbers": lambda t: t.tensor([1j]) < t.tensor([2j]),
    "floor of complex numbers": lambda t: t.tensor([1j]).floor(),
    "bitwise and of floats": lambda t: ones(t, 2) & ones(t, 2),
    "where condition": lambda t: t.where(ones(t, 2), ones(t, 2), ones(t, 2)),
    "item of several": lambda t: ones(t, 2).item(),
    "truth of several": lambda t: bool(ones(t, 2)),
    "float of several": lambda t: float(ones(t, 2)),
    "numpy with gradients": lambda t: t.ones(2, requires_grad=True).numpy(),
    "target dtype": lambda t: t.nn.functional.nll_loss(ones(t, 2, 3), ones(t, 2)),
    # words and numbers
    "reduction text": lambda t: t.nn.functional.mse_loss(ones(t, 2), ones(t, 2), reduction="men"),
    "padding mode": lambda t: t.nn.functional.pad(ones(t, 1, 1, 3), (1, 1), mode="mirror"),
    "negative size": lambda t: t.ones(-1),
    "arange step": lambda t: t.arange(0, 5, 0),
    "arange bounds": lambda t: t.arange(5, 0, 1),
    "linspace steps": lambda t: t.linspace(0, 1, -1),
    "randint bounds": lambda t: t.randint(5, 5, (2,)),
    "randperm": lambda t: t.randperm(-1),
    "multinomial": lambda t: t.multinomial(t.tensor([0.0, 0.0]), 1),
    "bernoulli": lambda t: t.bernoulli(t.tensor([2.0])),
    "dropout": lambda t: t.nn.functional.dropout(ones(t, 2), 1.5),
    "integer division by zero": lambda t: t.tensor([1]) // 0,
    "learning rate": lambda t: t.optim.SGD([ones(t, 2).requires_grad_()], lr=-1.0),
    "no parameters": lambda t: t.optim.SGD([], lr=0.1),
    "momentum": lambda t: t.optim.SGD([ones(t, 2).requires_grad_()], lr=0.1, momentum=-1.0),
    "batch size": lambda t: t.utils.data.DataLoader([1, 2], batch_size=0),
    "state_dict": strange_state,
    # gradients
    "backward without history": lambda t: ones(t, 1).backward(),
    "backward of several": lambda t: (t.ones(2, requires_grad=True) * 2).backward(),
    "backward twice": spent_graph,
    "stale value": stale_value,
    "written leaf": written_leaf,
    "gradient shape": lambda t: (t.ones(2, requires_grad=True) * 2).backward(ones(t, 3)),
    "unused input": lambda t: t.autograd.grad(t.ones(1, requires_grad=True).sum(), t.ones(1, requires_grad=True)),
}  # fmt: skip


def failure(function: Callable[[Any], Any], lib: Any) -> tuple[type, str] | None:
    try:
        function(lib)
    except Exception as error:
        return type(error), (str(error).strip().splitlines() or [""])[0]
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MISUSE)
def test_a_wrong_call_fails_as_in_pytorch(backend: str, name: str) -> None:
    theirs = failure(MISUSE[name], torch)
    assert theirs is not None
    kind, text = failure(MISUSE[name], torchplug) or (type(None), "did not raise")
    # PyTorch goes on, after some sentences, with an invitation to report their wording.
    assert (kind.__name__, text) == (theirs[0].__name__, theirs[1].partition("  (Could this error message")[0])


def test_an_unknown_device_is_answered_with_those_there_are() -> None:
    with pytest.raises(
        RuntimeError, match=r"^Expected one of cpu, cuda, .* device type at start of device string: gpu"
    ):
        torchplug.ones(2, device="gpu")
