"""A tensor prints as PyTorch 2.13 prints it: readable cases by hand, then thousands of random arrays beside PyTorch."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

from torchplug._core.printing import PRINT_OPTS, format_tensor, get_printoptions, printoptions, set_printoptions

nan, inf = math.nan, math.inf
DEFAULTS = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    set_printoptions(profile="default")
    yield
    set_printoptions(profile="default")


@pytest.fixture
def torch() -> Iterator[ModuleType]:
    torch = pytest.importorskip("torch")
    yield torch
    torch.set_printoptions(profile="default")
    torch.set_default_dtype(torch.float32)


def array_of(elements: Any, dtype_name: str) -> np.ndarray:
    layout = ml_dtypes.bfloat16 if dtype_name == "bfloat16" else np.dtype(dtype_name)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.asarray(elements).astype(layout)


def ours(elements: Any, dtype_name: str = "float32", **overrides: Any) -> str:
    arguments: dict[str, Any] = {"device": None, "requires_grad": False, "grad_fn_name": None} | overrides
    return format_tensor(array_of(elements, dtype_name), dtype_name=dtype_name, **arguments)


def torch_tensor(torch: ModuleType, array: np.ndarray, dtype_name: str) -> Any:
    if dtype_name == "bfloat16":  # PyTorch does not know NumPy's; the bits are the same
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


class Case(NamedTuple):
    """What is printed, with the options that differ from the defaults, and the text."""

    name: str
    elements: Any
    dtype_name: str
    text: str
    options: dict[str, Any] = {}


CASES = [
    Case("whole floats end in a point", [1, -2, 30], "float32", "tensor([ 1., -2., 30.])"),
    Case("others have four digits", [0.5, -1.25], "float32", "tensor([ 0.5000, -1.2500])"),
    Case("rounding may widen", [0.1, 99.99996], "float32", "tensor([  0.1000, 100.0000])"),
    Case("a scalar has no brackets", 1.5, "float32", "tensor(1.5000)"),
    Case("a whole scalar", -3, "float32", "tensor(-3.)"),
    Case("negative zero keeps its sign", -0.0, "float32", "tensor(-0.)"),
    Case("negative zero does not widen a column", [-0.0, 1.5], "float32", "tensor([-0.0000, 1.5000])"),
    Case("nan beside whole numbers", [nan, 1, inf, -inf], "float32", "tensor([nan, 1., inf, -inf])"),
    Case("nan is padded to the column", [nan, 1.5], "float32", "tensor([   nan, 1.5000])"),
    Case("nan and zero alone", [nan, 0], "float32", "tensor([nan, 0.])"),
    Case("a ratio of a thousand is fixed", [1, 1000], "float32", "tensor([   1., 1000.])"),
    Case("a larger ratio is scientific", [1, 1001], "float32", "tensor([1.0000e+00, 1.0010e+03])"),
    Case("a hundred million is fixed", [1e8], "float32", "tensor([100000000.])"),
    Case("more is scientific", [100000008], "float32", "tensor([1.0000e+08])"),
    Case("1e-4 rounded down is scientific", [1e-4], "float32", "tensor([1.0000e-04])"),
    Case("1e-4 exactly is fixed", [1e-4], "float64", "tensor([0.0001], dtype=torch.float64)"),
    Case("a subnormal", [1e-45], "float32", "tensor([1.4013e-45])"),
    Case("a quotient that overflows", [5e-324, 1e308], "float64",
         "tensor([4.9407e-324, 1.0000e+308], dtype=torch.float64)"),
    Case("inf in scientific notation", [1e10, -1, inf], "float32", "tensor([ 1.0000e+10, -1.0000e+00,         inf])"),
    Case("float16", [1.5, 60000], "float16", "tensor([1.5000e+00, 6.0000e+04], dtype=torch.float16)"),
    Case("bfloat16", [0.1, 2], "bfloat16", "tensor([0.1001, 2.0000], dtype=torch.bfloat16)"),
    Case("integers are aligned", [1, -20, 300], "int64", "tensor([  1, -20, 300])"),
    Case("the least integer", -(2**63), "int64", "tensor(-9223372036854775808)"),
    Case("int32 names its dtype", [7], "int32", "tensor([7], dtype=torch.int32)"),
    Case("uint8", [255, 0], "uint8", "tensor([255,   0], dtype=torch.uint8)"),
    Case("booleans", [True, False], "bool", "tensor([ True, False])"),
    Case("a boolean scalar", True, "bool", "tensor(True)"),
    Case("complex whole numbers", [1 + 2j, complex(-3, -0.0)], "complex64", "tensor([ 1.+2.j, -3.-0.j])"),
    Case("each part has its notation", [1.5 - 2j, 3 + 1e-5j], "complex64",
         "tensor([1.5000-2.0000e+00j, 3.0000+1.0000e-05j])"),
    Case("only the real part is aligned", [1.5 + 100j, 20.25 - 3j], "complex64",
         "tensor([ 1.5000+100.j, 20.2500-3.j])"),
    Case("complex nan and inf", [complex(nan, -inf), complex(1, nan)], "complex64", "tensor([nan-infj, 1.+nanj])"),
    Case("complex128 names its dtype", 2j, "complex128", "tensor(0.+2.j, dtype=torch.complex128)"),
    Case("empty", np.empty(0), "float32", "tensor([])"),
    Case("empty with a shape", np.empty((0, 3)), "float32", "tensor([], size=(0, 3))"),
    Case("empty int64 names its dtype", np.empty((2, 0)), "int64", "tensor([], size=(2, 0), dtype=torch.int64)"),
    Case("matrix", [[1, 2], [3, 4]], "float32", """\
tensor([[1., 2.],
        [3., 4.]])"""),
    Case("blank lines part the blocks", np.arange(16).reshape(2, 2, 2, 2), "int64", """\
tensor([[[[ 0,  1],
          [ 2,  3]],

         [[ 4,  5],
          [ 6,  7]]],


        [[[ 8,  9],
          [10, 11]],

         [[12, 13],
          [14, 15]]]])"""),
    Case("a long row is wrapped", np.arange(20) * 1000, "int64", """\
tensor([    0,  1000,  2000,  3000,  4000,  5000,  6000,  7000,  8000,  9000,
        10000, 11000, 12000, 13000, 14000, 15000, 16000, 17000, 18000, 19000])"""),
    Case("1001 elements are a summary", np.arange(1001), "float32",
         "tensor([   0.,    1.,    2.,  ...,  998.,  999., 1000.])"),
    Case("a summary chooses its notation without the elements left out", [1, 2, 1e9, 3, 4], "float32",
         "tensor([1.,  ..., 4.])", {"threshold": 4, "edgeitems": 1}),
    Case("only dimensions longer than both edges are cut", np.arange(12).reshape(6, 2), "int64", """\
tensor([[ 0,  1],
        ...,
        [10, 11]])""", {"threshold": 9, "edgeitems": 1}),
    Case("every dimension is cut", np.arange(27).reshape(3, 3, 3), "int64", """\
tensor([[[ 0,  ...,  2],
         ...,
         [ 6,  ...,  8]],

        ...,

        [[18,  ..., 20],
         ...,
         [24,  ..., 26]]])""", {"threshold": 9, "edgeitems": 1}),
    Case("no edges at all", np.arange(10).reshape(2, 5), "int64", "tensor([...], size=(2, 5))",
         {"threshold": 9, "edgeitems": 0}),
    Case("a narrow line holds one element", [10, 20], "int64", "tensor([10,\n        20])", {"linewidth": 0}),
    Case("precision counts digits", [1 / 3, 2.5], "float32", "tensor([0.33, 2.50])", {"precision": 2}),
    Case("precision zero prints no point", [1.25, 3.75], "float32", "tensor([1, 4])", {"precision": 0}),
    Case("scientific by order", [1, -2], "float32", "tensor([ 1.0000e+00, -2.0000e+00])", {"sci_mode": True}),
    Case("fixed by order", [1.25, 1e10], "float32", "tensor([          1.2500, 10000000000.0000])",
         {"sci_mode": False}),
    Case("a dtype that does not fit starts a line", np.ones(13), "float64", """\
tensor([1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1.],
       dtype=torch.float64)"""),
]  # fmt: skip
NAMES = [case.name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_these_elements_print_as_this_text(case: Case) -> None:
    set_printoptions(**case.options)
    assert ours(case.elements, case.dtype_name) == case.text


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_pytorch_prints_the_same_text(case: Case, torch: ModuleType) -> None:
    torch.set_printoptions(**case.options)
    assert repr(torch_tensor(torch, array_of(case.elements, case.dtype_name), case.dtype_name)) == case.text


def test_suffixes_come_in_pytorchs_order() -> None:
    text = ours(
        np.empty((0, 2)), "float64", device="cuda:0", requires_grad=True, grad_fn_name="AddBackward0", extras=("x=1",)
    )
    assert text == (
        "tensor([], device='cuda:0', size=(0, 2), dtype=torch.float64, x=1,\n       grad_fn=<AddBackward0>)"
    )


def test_a_leaf_that_requires_grad_says_so() -> None:
    assert ours([1], requires_grad=True) == "tensor([1.], requires_grad=True)"


def test_a_result_names_its_node_instead() -> None:
    assert ours([1], requires_grad=True, grad_fn_name="MulBackward0") == "tensor([1.], grad_fn=<MulBackward0>)"


def test_a_longer_prefix_indents_all_lines() -> None:
    assert ours([[1], [2]], prefix="MyTensor(") == "MyTensor([[1.],\n          [2.]])"


@pytest.mark.parametrize("default", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("size", [0, 1])
def test_the_dtype_is_named_when_the_elements_do_not_tell_it(default: str, size: int, torch: ModuleType) -> None:
    torch.set_default_dtype(getattr(torch, default))
    for dtype_name in DTYPE_NAMES:
        array = array_of(np.ones(size), dtype_name)
        theirs = repr(torch_tensor(torch, array, dtype_name))
        assert ours(array, dtype_name, default_dtype_name=default) == theirs


def test_a_device_is_broken_onto_lines_as_pytorch_breaks_it(torch: ModuleType) -> None:
    class Elsewhere(torch.Tensor):  # type: ignore[name-defined, misc]
        __torch_function__ = torch._C._disabled_torch_function_impl
        device = torch.device("hpu:0")

    for length in range(1, 25):
        array = np.ones(length)
        there = torch.from_numpy(array).as_subclass(Elsewhere).requires_grad_()
        text = ours(array, "float64", device="hpu:0", requires_grad=True, prefix="Elsewhere(")
        assert text == repr(there)


def test_a_summary_reads_only_the_elements_it_shows() -> None:
    huge = np.broadcast_to(np.float32(1), (10**6, 10**6, 5))
    tracemalloc.start()
    try:
        text = format_tensor(huge, dtype_name="float32", device=None, requires_grad=False, grad_fn_name=None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert text.count("1.") == 6 * 6 * 5
    assert peak < 2**20


def test_a_view_prints_as_its_copy() -> None:
    view = np.arange(6000, dtype=np.float32).reshape(1500, 4)[::-3, ::-1].T
    assert ours(view) == ours(np.ascontiguousarray(view))


@pytest.mark.parametrize(("dtype_name", "bits"), [("float16", "<u2"), ("bfloat16", "<u2"), ("float32", "<u4")])
def test_a_signalling_nan_prints_without_a_warning(dtype_name: str, bits: str) -> None:
    quiet = array_of([nan], dtype_name)
    mantissa_bits = {"float16": 10, "bfloat16": 7, "float32": 23}[dtype_name]
    pattern = (int(quiet.view(bits)[0]) & ~(1 << (mantissa_bits - 1))) | 1
    signalling = np.array([pattern], bits).view(quiet.dtype)
    assert ours(signalling, dtype_name).startswith("tensor([nan]")


def test_the_options_start_at_pytorchs_defaults(torch: ModuleType) -> None:
    assert get_printoptions() == DEFAULTS == torch._tensor_str.get_printoptions()


def test_the_returned_options_are_a_copy() -> None:
    get_printoptions()["precision"] = 9
    assert PRINT_OPTS.precision == 4


SETTINGS: list[dict[str, Any]] = [
    {"profile": "short"},
    {"linewidth": 120},
    {"profile": "full"},
    {"profile": "short", "precision": 7},
    {"sci_mode": True},
    {"precision": 3},
    {"profile": "unknown"},
    {"profile": "FULL"},
    {"profile": 3},
    {"profile": []},
    {"profile": "default", "threshold": inf, "edgeitems": 0},
    {"sci_mode": False},
    {},
]


def test_a_sequence_of_settings_leaves_pytorchs_options(torch: ModuleType) -> None:
    for setting in SETTINGS:
        set_printoptions(**setting)
        torch.set_printoptions(**setting)
        assert get_printoptions() == torch._tensor_str.get_printoptions(), setting


@pytest.mark.parametrize(
    "setting",
    [{"precision": -1}, {"precision": 2.5}, {"threshold": "a"}, {"edgeitems": 1.5}, {"linewidth": inf}],
    ids=str,
)
def test_a_value_that_makes_no_sense_raises_pytorchs_error_when_printed(
    setting: dict[str, Any], torch: ModuleType
) -> None:
    elements = np.arange(2000) / 8
    torch.set_printoptions(**setting)
    set_printoptions(**setting)
    with pytest.raises(Exception) as theirs:  # noqa: B017 - whatever PyTorch raises is the reference
        repr(torch.from_numpy(elements))
    with pytest.raises(theirs.type):
        ours(elements, "float64")


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'digits'"):
        set_printoptions(digits=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'digits'"):
        printoptions(digits=3)  # type: ignore[call-arg]


def test_printoptions_holds_inside_the_block_only() -> None:
    set_printoptions(sci_mode=True)
    with printoptions(profile="short", linewidth=40) as nothing:
        inside = get_printoptions()
    assert nothing is None
    assert inside == DEFAULTS | {"precision": 2, "edgeitems": 2, "linewidth": 40}
    assert get_printoptions() == DEFAULTS | {"sci_mode": True}


def test_printoptions_are_put_back_after_an_error() -> None:
    with pytest.raises(KeyError), printoptions(precision=1):
        set_printoptions(threshold=5)
        raise KeyError
    assert get_printoptions() == DEFAULTS


def test_printoptions_decorate_a_function() -> None:
    @printoptions(precision=1)
    def text() -> str:
        return ours([0.25])

    assert [text(), text(), ours([0.25])] == ["tensor([0.2])", "tensor([0.2])", "tensor([0.2500])"]


DTYPE_NAMES = [
    "bool", "uint8", "int8", "int16", "int32", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
ARRAYS_PER_DTYPE = 400


@pytest.mark.parametrize("dtype_name", DTYPE_NAMES)
def test_random_arrays_print_as_pytorch_prints_them(dtype_name: str, torch: ModuleType) -> None:
    random = np.random.default_rng(DTYPE_NAMES.index(dtype_name))
    for _ in range(ARRAYS_PER_DTYPE):
        array = random_array(random, dtype_name)
        options = random_options(random)
        tensor = torch_tensor(torch, array, dtype_name)
        if (tensor.is_floating_point() or tensor.is_complex()) and random.random() < 0.5:
            tensor.requires_grad_()
        if tensor.requires_grad and random.random() < 0.5:
            tensor = tensor.view_as(tensor)
        torch.set_printoptions(profile="default")
        torch.set_printoptions(**options)
        set_printoptions(profile="default")
        set_printoptions(**options)
        node = tensor.grad_fn and tensor.grad_fn.name()
        text = ours(array, dtype_name, requires_grad=tensor.requires_grad, grad_fn_name=node)
        assert text == repr(tensor), f"shape {array.shape}, options {options}"


def random_options(random: np.random.Generator) -> dict[str, Any]:
    choices = {
        "linewidth": (0.4, lambda: int(random.integers(1, 130))),
        "edgeitems": (0.3, lambda: int(random.integers(0, 8))),
        "threshold": (0.3, lambda: int(random.integers(-1, 60))),
        "precision": (0.3, lambda: int(random.integers(0, 10))),
        "sci_mode": (0.2, lambda: bool(random.random() < 0.5)),
    }
    return {name: draw() for name, (chance, draw) in choices.items() if random.random() < chance}


def random_array(random: np.random.Generator, dtype_name: str) -> np.ndarray:
    shape = random_shape(random)
    if dtype_name == "bool":
        return np.asarray(random.random(shape) < 0.5)
    if dtype_name.startswith(("int", "uint")):
        limits = np.iinfo(dtype_name)
        bound = int(random.choice([3, 100, limits.max]))
        low, high = max(limits.min, -bound), min(limits.max, bound)
        return np.asarray(random.integers(low, high, shape, dtype=dtype_name, endpoint=True))
    parts = random_floats(random, shape)
    if not dtype_name.startswith("complex"):
        return array_of(parts, dtype_name)
    both = np.empty(shape, np.complex128)
    both.real, both.imag = parts, random_floats(random, shape)
    return array_of(both, dtype_name)


def random_shape(random: np.random.Generator) -> tuple[int, ...]:
    dimensions = int(random.integers(0, 6))
    longest = [1, 60, 14, 8, 5, 4][dimensions]
    shape = [int(random.integers(random.random() > 0.1, longest + 1)) for _ in range(dimensions)]
    if shape and random.random() < 0.1:
        shape[int(random.integers(dimensions))] = int(random.integers(1, 1500))
    return tuple(shape)


def random_floats(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Returns float64 values of one of seven kinds, now and then with NaNs, infinities and signed zeros among them."""
    size = math.prod(shape)
    sign = random.choice([-1.0, 1.0], size)
    kind = int(random.integers(7))
    values: np.ndarray
    if kind == 0:
        values = random.standard_normal(size) * 10.0 ** random.uniform(-40, 38)
    elif kind == 1:
        values = sign * 10.0 ** random.uniform(-40, 38, size)
    elif kind == 2:
        values = sign * 10.0 ** random.uniform(-4.2, -0.8, size)
    elif kind == 3:
        values = np.round(sign * 10.0 ** random.uniform(0, 9, size))
    elif kind == 4:
        values = random.choice([0.0, -0.0, 1.0, 2.5, 1e-3, 1e3, 999.99996], size)
    elif kind == 5:
        values = random.integers(-50, 50, size).astype(np.float64)
    else:
        values = np.zeros(size)
    if random.random() < 0.3:
        replaced = random.random(size) < random.choice([0.1, 0.5, 1])
        values[replaced] = random.choice([nan, -nan, inf, -inf, 0.0, -0.0], int(replaced.sum()))
    return values.reshape(shape)
