"""`torch.autocast` and its switches: what they say, warn and refuse, how they nest, and whom they leave alone."""

from __future__ import annotations

import contextvars
import gc
import threading
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from torch_oracle import torch as real

import torchplug as torch
from torchplug._core.autocasting import CASTING

F = torch.nn.functional

EXPRESSIONS = (
    *(
        f"{function}('{kind}')"
        for function in ("torch.is_autocast_enabled", "torch.get_autocast_dtype", "torch.amp.is_autocast_available")
        for kind in ("cpu", "cuda", "cuda:0", "xpu", "mps", "hpu", "xla", "ipu", "mtia", "meta", "vulkan")
    ),
    *(f"torch.autocast('{kind}')._enabled" for kind in ("cpu", "cuda", "xpu", "mps", "hpu", "xla", "meta", "vulkan")),
    "torch.autocast('cpu').fast_dtype",
    "torch.autocast('cpu').device",
    "torch.autocast('cpu', enabled=False)._enabled",
    "torch.autocast('cpu', torch.float16)._enabled",
    "torch.autocast('cpu', torch.float32)._enabled",
    "torch.autocast('cpu', torch.int8)._enabled",
    "torch.autocast('cpu', dtype=3)._enabled",
    "torch.autocast('cuda', torch.float32)._enabled",
    "torch.autocast('mps', torch.float32)._enabled",
    "torch.autocast('cpu')(3)",
    "torch.autocast()",
    "torch.autocast(3)",
    "torch.amp.custom_fwd(lambda x: x)",
    "torch.amp.custom_fwd(device_type=1)",
    "torch.amp.custom_bwd(device_type=1)",
    "torch.amp.is_autocast_available(3)",
    "torch.is_autocast_enabled()",
    "torch.is_autocast_enabled(1)",
    "torch.is_autocast_enabled(device_type='cpu')",
    "torch.set_autocast_enabled('cpu', 1)",
    "torch.set_autocast_enabled(2)",
    "torch.set_autocast_enabled('cuda')",
    "torch.set_autocast_enabled()",
    "torch.set_autocast_enabled(1, True)",
    "torch.set_autocast_enabled('meta', True)",
    "torch.set_autocast_enabled(enabled=False)",
    "torch.get_autocast_dtype(3)",
    "torch.set_autocast_dtype('cpu', 3)",
    "torch.set_autocast_dtype(3, torch.float16)",
    "torch.is_autocast_cache_enabled()",
    "torch.set_autocast_cache_enabled(1)",
    "torch.clear_autocast_cache()",
    "[torch.autocast_increment_nesting(), torch.autocast_increment_nesting(), torch.autocast_decrement_nesting(), "
    "torch.autocast_decrement_nesting()]",
    "torch.get_autocast_gpu_dtype()",
    "torch.get_autocast_cpu_dtype()",
    "torch.get_autocast_ipu_dtype()",
    "torch.get_autocast_xla_dtype()",
    "torch.is_autocast_cpu_enabled()",
    "torch.is_autocast_ipu_enabled()",
    "torch.is_autocast_xla_enabled()",
    "torch.set_autocast_cpu_enabled(False)",
    "torch.set_autocast_cpu_dtype(torch.bfloat16)",
    "torch.set_autocast_gpu_dtype(torch.float16)",
    "torch.cpu.amp.autocast()._enabled",
    "torch.cuda.amp.autocast()._enabled",
    "torch.cuda.amp.autocast(False).fast_dtype",
    "torch.cuda.amp.custom_fwd(abs) and 1",
    "torch.cuda.amp.custom_bwd(abs) and 1",
    "torch.amp.GradScaler().is_enabled()",
    "torch.cuda.amp.GradScaler().is_enabled()",
    "torch.cpu.amp.GradScaler().is_enabled()",
    "torch.amp.GradScaler('cpu', growth_factor=1.0)",
    "torch.amp.GradScaler('cpu', backoff_factor=1.0)",
    "torch.cuda.amp.common.amp_definitely_not_available()",
)


def outcome(library: Any, expression: str) -> tuple[Any, list[tuple[str, str]]]:
    """Returns what an expression gives or raises, and what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = str(eval(expression, {"torch": library}))
        except Exception as error:
            result = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    said = [(each.category.__name__, str(each.message).partition(" (Triggered")[0]) for each in caught]
    return result, said


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_gives_raises_and_warns_what_pytorchs_does(expression: str) -> None:
    (ours, warned), (theirs, expected) = outcome(torch, expression), outcome(real, expression)
    if theirs.startswith("TypeError: autocast.__init__") or "invalid combination" in theirs:
        assert ours.startswith(theirs[:25])
    else:
        assert ours == theirs
    assert warned == expected


def test_the_modules_have_pytorchs_names() -> None:
    assert torch.autocast is torch.amp.autocast is torch.amp.autocast_mode.autocast
    assert torch.amp.GradScaler is torch.amp.grad_scaler.GradScaler
    for path in (
        "amp",
        "amp.autocast_mode",
        "amp.grad_scaler",
        "cuda.amp",
        "cuda.amp.autocast_mode",
        "cuda.amp.common",
    ):
        ours, theirs = torch, real
        for part in path.split("."):
            ours, theirs = getattr(ours, part), getattr(theirs, part)
        assert set(theirs.__all__) <= set(dir(ours)), path


# ---- nesting --------------------------------------------------------------------------------------------------------


def facts(library: Any) -> list[str]:
    return [
        str(each)
        for kind in ("cpu", "xpu")
        for each in (library.is_autocast_enabled(kind), library.get_autocast_dtype(kind))
    ] + [str(library.is_autocast_cache_enabled())]


def walk(library: Any) -> Iterator[list[str]]:
    yield facts(library)
    with library.autocast("cpu") as mode:
        yield [type(mode).__name__, *facts(library)]
        with library.autocast("cpu", dtype=library.float16, cache_enabled=False):
            yield facts(library)
            with library.autocast("xpu"):
                yield facts(library)
                library.set_autocast_dtype("xpu", library.bfloat16)
                with library.autocast("cpu", enabled=False):
                    yield facts(library)
                yield facts(library)
            yield facts(library)
        yield facts(library)
        try:
            with library.autocast("cpu", enabled=False):
                raise KeyError
        except KeyError:
            yield facts(library)
    yield facts(library)

    @library.autocast("cpu", dtype=library.float16)
    def decorated() -> list[str]:
        """Doc."""
        return facts(library)

    yield [decorated.__name__, decorated.__doc__, *decorated()]
    yield facts(library)


def test_autocast_nests_and_restores_as_pytorchs_does() -> None:
    assert list(walk(torch)) == list(walk(real))


def test_a_decorated_function_may_call_itself() -> None:
    # PyTorch's leaves autocast on here: the inner call takes the place of what the outer one found.
    @torch.autocast("cpu")
    def decorated(depth: int) -> list[bool]:
        return [*(decorated(depth - 1) if depth else []), torch.is_autocast_enabled("cpu")]

    assert decorated(2) == [True] * 3
    assert not torch.is_autocast_enabled("cpu")


def test_a_decorated_function_may_run_in_two_threads_at_once() -> None:
    meeting = threading.Barrier(2)
    seen = []

    @torch.autocast("cpu")
    def work() -> None:
        meeting.wait(10)
        seen.append(torch.is_autocast_enabled("cpu"))
        meeting.wait(10)

    def run() -> None:
        work()
        seen.append(torch.is_autocast_enabled("cpu"))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True, True, False, False]


def test_another_thread_is_left_alone() -> None:
    a = torch.ones(2, 2)
    seen = []
    with torch.autocast("cpu"):
        thread = threading.Thread(target=lambda: seen.append((a @ a).dtype))
        thread.start()
        thread.join()
        seen.append((a @ a).dtype)
    assert seen == [torch.float32, torch.bfloat16]


def test_a_copied_context_keeps_autocast_on() -> None:
    a = torch.ones(2, 2)
    with torch.autocast("cpu"):
        context = contextvars.copy_context()
    assert (a @ a).dtype is torch.float32
    assert context.run(lambda: a @ a).dtype is torch.bfloat16
    assert CASTING
    del context
    gc.collect()
    assert not CASTING


def test_the_switches_work_without_a_block() -> None:
    a = torch.ones(2, 2)
    torch.set_autocast_enabled("cpu", True)
    torch.set_autocast_dtype("cpu", torch.float16)
    try:
        assert (a @ a).dtype is torch.float16
    finally:
        torch.set_autocast_enabled("cpu", False)
        torch.set_autocast_dtype("cpu", torch.bfloat16)
    assert (a @ a).dtype is torch.float32
    assert not CASTING


def test_nothing_is_asked_where_autocast_is_off() -> None:
    with torch.autocast("cpu", enabled=False):
        assert not CASTING
    with pytest.raises(KeyError), torch.autocast("cpu"):
        assert CASTING
        raise KeyError
    gc.collect()
    assert not CASTING


# ---- who is cast ------------------------------------------------------------------------------------------------------


def calls(library: Any) -> Iterator[Any]:
    """What autocast does with calls of many forms: result types, or errors."""
    a, h, d, n = library.ones(2, 2), library.ones(2, 2).half(), library.ones(2, 2).double(), library.ones(2, 2).int()
    b = library.ones(2, 2).bfloat16()
    wide = library.ones(2, 2).double()
    functional = library.nn.functional
    yield from (
        lambda: a @ a, lambda: a.mm(h), lambda: d @ d, lambda: d @ a, lambda: n @ a, lambda: n @ n, lambda: a.__matmul__(b),
        lambda: library.mm(a, a, out=library.empty(2, 2)), lambda: library.matmul(a, a, out=library.empty(2, 2)),
        lambda: a.clone().addmm_(a, a), lambda: library.addmm(a, b, d), lambda: library.addmm(a, b, h),
        lambda: library.cat([a, b]), lambda: library.cat([b, b]), lambda: library.cat([a, h]), lambda: library.cat([d, d]),
        lambda: library.cat([h, a]), lambda: library.cat([d, b]), lambda: library.cat([n, b]), lambda: library.stack([h, h]),
        lambda: library.stack((a, b)), lambda: library.prod(b), lambda: library.prod(b, 0), lambda: library.prod(b, dtype=wide.dtype),
        lambda: functional.linear(a, h, b[0]), lambda: library.nn.Linear(2, 2)(b), lambda: library.nn.Linear(2, 2).double()(d),
        lambda: functional.mse_loss(b, a), lambda: functional.cross_entropy(b, library.tensor([0, 1])),
        lambda: functional.pad(b, (1, 1), "reflect"), lambda: functional.pad(b, (1, 1), "circular"), lambda: functional.pad(b, (1, 1)),
        lambda: functional.pad(b.reshape(1, 1, 1, 2, 2), (1,) * 6, "replicate"), lambda: library.einsum("ij->i", a),
        lambda: library.einsum("i,i->i", a[0], a[0]), lambda: library.einsum("ij,jk->ik", a, a), lambda: library.einsum("i,i", a[0], a[0]),
        lambda: library.exp(b), lambda: library.softmax(b, 0), lambda: a + b, lambda: b + b, lambda: b.sum(), lambda: a.mv(a[0]),
        lambda: functional.local_response_norm(b.reshape(1, 2, 2), 2), lambda: library.nn.LayerNorm(2)(a),
        lambda: functional.max_pool3d(b.reshape(1, 1, 1, 2, 2), 1), lambda: library.complex(a, a) @ library.complex(a, a),
        lambda: library.bmm(a[None], h[None]), lambda: library.conv1d(a[None], b[None]), lambda: library.mm(a, 3),
        lambda: functional.scaled_dot_product_attention(a[None], b[None], h[None]), lambda: library.spmm(a, b),
    )  # fmt: skip


def result(call: Any) -> str:
    try:
        made = call()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return str([x.dtype for x in made] if isinstance(made, tuple) else made.dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_calls_of_every_form_are_cast_as_pytorchs(dtype: str) -> None:
    found = []
    with torch.autocast("cpu", getattr(torch, dtype)), real.autocast("cpu", getattr(real, dtype)):
        for number, (ours, theirs) in enumerate(zip(calls(torch), calls(real), strict=True)):
            if (got := result(ours)) != (expected := result(theirs)) and not got.startswith("TypeError"):
                found.append((number, got, expected))
    assert not found, found


def test_what_a_cast_function_calls_is_not_cast_again() -> None:
    # The bilinear form is made of products of matrices, which CUDA's and the host's table name.
    left, right, weight = torch.ones(5, 2), torch.ones(5, 3), torch.ones(4, 2, 3)
    with torch.autocast("cpu"):
        assert torch.bilinear(left, right, weight).dtype is torch.float32
        assert (
            F.ctc_loss(torch.zeros(4, 1, 3).bfloat16(), torch.tensor([[1]]), torch.tensor([4]), torch.tensor([1])).dtype
            is torch.float32
        )


def test_functions_that_write_compute_as_without_autocast() -> None:
    for library in (torch, real):
        a = library.full((2, 2), 1.0009765625)
        with library.autocast("cpu"):
            twin = a.clone().addmm_(a, a)
            out = library.addmm(a, a, a, out=library.empty(2, 2))
            assert library.addmm(a, a, a).float().tolist() != twin.tolist()
        assert twin.tolist() == out.tolist() == library.addmm(a, a, a).tolist()


def test_tensors_of_other_types_of_device_are_left_alone() -> None:
    a = torch.ones(2, 2)
    with torch.autocast("xpu"):
        assert CASTING
        assert (a @ a).dtype is torch.float32
        assert a.exp().dtype is torch.float32


def test_autocast_holds_for_the_devices_of_every_engine(backend: str) -> None:
    kind = torch.ones(1).device.type
    layer = torch.nn.Linear(3, 2)
    with torch.autocast(kind, dtype=torch.bfloat16):
        out = layer(torch.ones(4, 3))
        loss = F.mse_loss(out, torch.zeros(4, 2))
    assert (out.dtype, loss.dtype) == (torch.bfloat16, torch.float32)
    loss.backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype is torch.float32


# ---- casts and gradients -------------------------------------------------------------------------------------------------


def test_casts_are_recorded_and_gradients_have_the_types_of_the_leaves() -> None:
    gradients = []
    for library in (torch, real):
        weight = library.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()
        x = library.linspace(0, 1, 12).reshape(4, 3)
        with library.autocast("cpu", dtype=library.bfloat16):
            out = library.nn.functional.linear(x, weight)
        out.float().square().mean().backward()
        assert str(weight.grad.dtype) == "torch.float32"
        gradients.append(weight.grad.tolist())
    for ours, theirs in zip(*gradients, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-2, abs=1e-3)


def test_the_history_of_a_cast_is_pytorchs() -> None:
    for library in (torch, real):
        weight = library.ones(2, 2).requires_grad_()
        with library.autocast("cpu"):
            out = library.mm(weight, weight)
        assert [node.name() for node, _ in out.grad_fn.next_functions] == ["ToCopyBackward0"] * 2


def node_of_cast(out: Any) -> Any:
    return out.grad_fn.next_functions[1][0]


def test_the_cast_of_a_leaf_is_kept_until_the_outermost_block_ends() -> None:
    a, w = torch.ones(2, 2), torch.ones(2, 2).requires_grad_()
    with torch.autocast("cpu"):
        first = a @ w
        with torch.autocast("cpu"):
            second = a @ w
        third = a @ w
    with torch.autocast("cpu"):
        later = a @ w
    assert node_of_cast(first) is node_of_cast(second) is node_of_cast(third)
    assert node_of_cast(later) is not node_of_cast(first)
    (first + second + third).sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [[6.0, 6.0], [6.0, 6.0]]


def test_casts_are_kept_for_each_type_and_not_without_the_cache() -> None:
    a, w = torch.ones(2, 2), torch.ones(2, 2).requires_grad_()
    with torch.autocast("cpu"):
        first = a @ w
        with torch.autocast("cpu", dtype=torch.float16):
            assert (a @ w).dtype is torch.float16
        with torch.autocast("cpu", cache_enabled=False):
            assert node_of_cast(a @ w) is not node_of_cast(first)
        torch.clear_autocast_cache()
        assert node_of_cast(a @ w) is not node_of_cast(first)


def test_a_leaf_that_was_written_is_cast_anew() -> None:
    a, w = torch.ones(2, 2), torch.ones(2, 2).requires_grad_()
    with torch.autocast("cpu"):
        assert (a @ w).sum().item() == 8
        with torch.no_grad():
            w.mul_(2)
        assert (a @ w).sum().item() == 16


def test_a_cast_without_gradient_does_not_cut_later_ones_off() -> None:
    a, w = torch.ones(2, 2), torch.ones(2, 2).requires_grad_()
    with torch.autocast("cpu"):
        with torch.no_grad():
            a @ w
        assert (a @ w).requires_grad


def test_backward_in_the_block_leaves_kept_casts_usable() -> None:
    for library in (torch, real):
        a, w = library.ones(2, 2), library.ones(2, 2).requires_grad_()
        with library.autocast("cpu"):
            for _ in range(3):
                (a @ w).sum().backward()
        assert w.grad is not None
        assert w.grad.tolist() == [[6.0, 6.0], [6.0, 6.0]]


def test_kept_casts_do_not_keep_leaves_alive() -> None:
    a, w = torch.ones(2, 2), torch.ones(2, 2).requires_grad_()
    with torch.autocast("cpu"):
        with torch.autocast("cpu"):
            a.mm(w.detach().requires_grad_())
        seen = weakref.ref(w)
        del w
        gc.collect()
        assert seen() is None


# ---- functions of one's own -----------------------------------------------------------------------------------------


def own_function(library: Any, cast_inputs: Any) -> Any:
    seen: list[Any] = []

    class Product(library.autograd.Function):
        @staticmethod
        @library.amp.custom_fwd(device_type="cpu", cast_inputs=cast_inputs)
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            out = x.mm(y)
            seen.append((str(x.dtype), str(out.dtype), library.is_autocast_enabled("cpu")))
            return out

        @staticmethod
        @library.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            back = g.mm(y.t()), x.t().mm(g)
            seen.append((str(back[0].dtype), library.is_autocast_enabled("cpu")))
            return back

    return Product, seen


@pytest.mark.parametrize("cast_inputs", [None, "float32", "float16"])
@pytest.mark.parametrize("enabled", [True, False])
def test_custom_functions_run_in_the_types_pytorchs_do(cast_inputs: str | None, enabled: bool) -> None:
    told = []
    for library in (torch, real):
        product, seen = own_function(library, cast_inputs and getattr(library, cast_inputs))
        x = library.ones(2, 2).requires_grad_()
        with library.autocast("cpu", enabled=enabled):
            out = product.apply(x, x * 2)
        out.float().sum().backward()
        told.append([*seen, str(out.dtype), str(x.grad.dtype), x.grad.tolist()])
    assert told[0] == told[1]


def test_spmm_of_dense_matrices_is_their_product() -> None:
    assert torch.spmm is torch.dsmm is torch.mm
    assert not hasattr(torch.Tensor, "spmm")
    a, b = torch.ones(2, 3).requires_grad_(), torch.ones(3, 2)
    out = torch.spmm(input=a, mat2=b)
    assert out.grad_fn is not None
    assert out.grad_fn.name() == "MmBackward0"
    ra, rb = real.ones(2, 3), real.ones(3)
    for arguments, theirs in (
        ((a, a), (ra, ra)),
        ((a, torch.ones(3)), (ra, rb)),
        ((b.double(), a), (ra.t().double(), ra)),
    ):
        with pytest.raises(RuntimeError) as ours:
            torch.spmm(*arguments)
        with pytest.raises(RuntimeError) as expected:
            real.spmm(*theirs)
        assert str(ours.value) == str(expected.value)
