"""Graphs, hooks, custom functions, modes and errors of autograd equal PyTorch's, on every engine."""

from __future__ import annotations

import gc
import weakref

import pytest

import torchplug

torch = pytest.importorskip("torch")


def both(program):
    """Returns what a program of one library gives on PyTorch and on torchplug; exceptions as (type, first words)."""
    results = []
    for lib in (torch, torchplug):
        try:
            results.append(program(lib))
        except Exception as error:
            results.append((type(error).__name__, " ".join(str(error).split())[:110]))
    return results


def leaf(lib, *shape):
    count = 1
    for size in shape:
        count *= size
    return (lib.arange(count).to(lib.float32).view(shape) / 4 + 0.5).requires_grad_()


def _names(node, depth=4):
    if node is None or depth == 0:
        return None
    return node.name(), [_names(parent, depth - 1) for parent, _ in node.next_functions]


def retained_twice(t):
    x = leaf(t, 3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad.tolist()


def freed(t):
    x = leaf(t, 3)
    y = (x * x).sum()
    y.backward()
    y.backward()


def stale(t):
    x = leaf(t, 3)
    y = x * 2
    z = y * y
    y.add_(1)
    z.sum().backward()


def stale_output(t):
    y = leaf(t, 3).exp()
    y.mul_(2)
    y.sum().backward()


def double(t):
    x = leaf(t, 3)
    (g,) = t.autograd.grad((x**3).sum(), x, create_graph=True)
    (h,) = t.autograd.grad((g * x).sum(), x)
    return g.tolist(), h.tolist()


def unused(t):
    x, y = leaf(t, 3), leaf(t, 3)
    return t.autograd.grad(x.sum(), [x, y], allow_unused=True)[1]


def unused_error(t):
    x, y = leaf(t, 3), leaf(t, 3)
    t.autograd.grad(x.sum(), [x, y])


def materialized(t):
    x, y = leaf(t, 3), leaf(t, 3)
    return t.autograd.grad(x.sum(), [x, y], materialize_grads=True)[1].tolist()


def chosen_inputs(t):
    x, y = leaf(t, 3), leaf(t, 3)
    (x * y).sum().backward(inputs=[x])
    return x.grad.tolist(), y.grad


def not_scalar(t):
    leaf(t, 3).mul(2).backward()


def no_history(t):
    t.ones(3).sum().backward()


def wrong_gradient_shape(t):
    leaf(t, 3).mul(2).backward(t.ones(4))


def hook_replaces(t):
    x = leaf(t, 3)
    y = x * 2
    log = []
    handle = y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: log.append(g.tolist()))
    (y * y).sum().backward()
    handle.remove()
    first = x.grad.clone()
    x.grad = None
    z = x * 2
    (z * z).sum().backward()
    return first.tolist(), x.grad.tolist(), log


def post_accumulate(t):
    x = leaf(t, 2)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    (x * 3).sum().backward()
    (x * 3).sum().backward()
    return seen


def node_hooks(t):
    x = leaf(t, 2)
    y = x * x
    seen = []
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append([g.tolist() for g in (*inputs, *outputs)]))
    y.grad_fn.register_prehook(lambda outputs: tuple(g * 2 for g in outputs))
    y.sum().backward()
    return seen, x.grad.tolist()


def retained_grad(t):
    x = leaf(t, 2)
    y = x * 3
    y.retain_grad()
    (y * y).sum().backward()
    return y.grad.tolist(), y.retains_grad, x.grad.tolist()


def custom(t):
    class Cube(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, power, scale=1.0):
            ctx.save_for_backward(x)
            ctx.power = power
            return x**power * scale, x > 1

        @staticmethod
        def backward(ctx, g, _):
            (x,) = ctx.saved_tensors
            return g * ctx.power * x ** (ctx.power - 1), None, None

    x = leaf(t, 3)
    y, mask = Cube.apply(x, 3)
    y.sum().backward()
    return y.tolist(), mask.tolist(), mask.requires_grad, x.grad.tolist(), y.grad_fn.name()


def custom_twice(t):
    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    x = leaf(t, 3)
    (g,) = t.autograd.grad(Square.apply(x).sum(), x, create_graph=True)
    g.sum().backward()
    return x.grad.tolist()


def custom_broadcast(t):
    class Multiply(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y, g * x

    x, y = leaf(t, 2, 1), leaf(t, 3)
    (g,) = t.autograd.grad(Multiply.apply(x, y).sum(), x, create_graph=True)
    g.sum().backward()
    return g.tolist(), y.grad.tolist()


def custom_once(t):
    from importlib import import_module

    once = import_module(f"{t.__name__}.autograd.function").once_differentiable

    class Once(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @once
        def backward(ctx, g):
            return g * 2

    x = leaf(t, 3)
    (g,) = t.autograd.grad((Once.apply(x) ** 2).sum(), x, create_graph=True)
    g.sum().backward()


def custom_context(t):
    class Scale(t.autograd.Function):
        @staticmethod
        def forward(x, factor):
            return x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor, None

    x = leaf(t, 2)
    Scale.apply(x, 5.0).sum().backward()
    return x.grad.tolist()


def custom_dirty(t):
    class AddOne(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.add_(1)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 3

    x = leaf(t, 2)
    y = x * 1
    z = AddOne.apply(y)
    z.sum().backward()
    return z is y, y.tolist(), x.grad.tolist(), y._version


def custom_wrong_count(t):
    class Bad(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g

    Bad.apply(leaf(t, 2), leaf(t, 2)).sum().backward()


def modes(t):
    x = leaf(t, 2)
    seen = []
    with t.no_grad():
        seen.append((x * 2).requires_grad)
        with t.enable_grad():
            seen.append((x * 2).requires_grad)
    with t.set_grad_enabled(False):
        seen.append(t.is_grad_enabled())
    seen.append(t.is_grad_enabled())

    @t.no_grad()
    def quiet(y):
        return y * 2

    @t.inference_mode()
    def inferred(y):
        return y * 2

    def counting(y):
        for _ in range(2):
            yield (y * 2).requires_grad

    seen += [quiet(x).requires_grad, inferred(x).requires_grad, list(t.no_grad()(counting)(x))]
    return seen


def leaf_rules(t):
    x = leaf(t, 2)
    return x.is_leaf, (x * 2).is_leaf, x.detach().is_leaf, x.grad_fn, (x * 2).detach().requires_grad


def change_non_leaf(t):
    (leaf(t, 2) * 2).requires_grad = False


def integer_leaf(t):
    t.ones(2, dtype=t.int64).requires_grad_()


def numpy_of_leaf(t):
    leaf(t, 2).numpy()


def wrong_grad_shape(t):
    leaf(t, 2).grad = t.ones(3)


def written_under_no_grad(t):
    x = leaf(t, 2)
    with t.no_grad():
        x.mul_(2)
    (x * x).sum().backward()
    return x.grad.tolist(), x._version


def graph_names(t):
    x, w = leaf(t, 2, 2), leaf(t, 2, 2)
    y = ((x @ w).relu() + x.t()).exp().sum(0)[1].log()
    return _names(y.grad_fn, 8)


def accumulates_in_place(t):
    x = leaf(t, 2)
    x.sum().backward()
    g = x.grad
    x.sum().backward()
    return g is x.grad, g.tolist()


def two_leaves_do_not_share_a_gradient(t):
    x, y = leaf(t, 2), leaf(t, 2)
    (x + y).sum().backward()
    x.grad.zero_()
    return y.grad.tolist()


def broadcast(t):
    x, y, z = leaf(t, 3, 1), leaf(t, 1, 4), leaf(t)
    (x * y + z).sum().backward()
    return x.grad.tolist(), y.grad.tolist(), z.grad.tolist()


def mixed_dtypes(t):
    x, y = leaf(t, 3), leaf(t, 3).detach().double().requires_grad_()
    (x * y).sum().backward()
    return x.grad.tolist(), str(x.grad.dtype), y.grad.tolist(), str(y.grad.dtype)


def anomaly(t):
    with t.autograd.detect_anomaly():
        x = (leaf(t, 2) * 0).sqrt() * 0
        x.sum().backward()


PROGRAMS = [value for name, value in list(globals().items()) if callable(value) and name[0] != "_" and name not in (
    "both", "leaf") and getattr(value, "__module__", "") == __name__]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
@pytest.mark.filterwarnings("ignore")
def test_a_program_of_autograd_equals_pytorchs(backend, program):
    if backend != "numpy" and program is numpy_of_leaf:
        pass
    expected, got = both(program)
    assert got == expected


def test_a_graph_is_freed_without_the_garbage_collector(backend):
    x = leaf(torchplug, 3)
    middle = (x * x).exp()
    node = weakref.ref(middle.grad_fn)
    gc.disable()
    try:
        loss = middle.tanh().sum()
        loss.backward()
        del middle, loss
        assert node() is None
    finally:
        gc.enable()


def test_gradcheck_finds_a_wrong_gradient(backend):
    class Wrong(torchplug.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g

    x = torchplug.tensor([1.0, 2.0], dtype=torchplug.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
        torchplug.autograd.gradcheck(Wrong.apply, (x,))
    assert torchplug.autograd.gradcheck(lambda y: y.sin(), (x,))
    assert torchplug.autograd.gradgradcheck(lambda y: y.sin(), (x,))
