"""Recurrent layers beside PyTorch's: packed sequences, states, projections, dropout, gradients, errors, engines."""

from __future__ import annotations

import importlib.util
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from same_program import assert_same

import torchplug
from torchplug import nn
from torchplug._core.kernels import COMPOSITIONS
from torchplug._core.tensor import array_of

ENGINES = ["numpy", "jax"] if importlib.util.find_spec("jax") else ["numpy"]


@pytest.fixture(autouse=True, scope="module")
def _told_of_projections() -> None:
    # PyTorch warns once in a process that oneDNN knows no projections.
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.nn.LSTM(3, 4, proj_size=2)(torch.zeros(1, 1, 3))


def _build(torch: Any, construction: str) -> Any:
    return eval(f"nn.{construction}", {"nn": torch.nn, "torch": torch})


def _flat(value: Any) -> list[Any]:
    return [x for part in value for x in _flat(part)] if isinstance(value, (tuple, list)) else [value]


def _states(torch: Any, layer: Any, batch: int) -> Any:
    shape = (layer.num_layers * (2 if layer.bidirectional else 1), batch, layer.proj_size or layer.hidden_size)
    h = torch.randn(shape).requires_grad_()
    if layer.mode != "LSTM":
        return h
    return h, torch.randn(*shape[:2], layer.hidden_size).requires_grad_()


def _results(torch: Any, layer: Any, leaves: list[Any], out: Any) -> Any:
    """Returns the outputs and the gradients of a sum that tells all their elements apart."""
    outs = [x for x in _flat(out) if torch.is_tensor(x) and x.is_floating_point()]
    loss = sum((x * torch.arange(float(x.numel())).reshape(x.shape).cos()).sum() for x in outs)
    return outs, torch.autograd.grad(loss, [*leaves, *layer.parameters()], create_graph=True)


LAYERS = [
    "RNN(3, 4)", "RNN(3, 4, 2, 'relu', bidirectional=True)", "RNN(3, 4, bias=False, batch_first=True)", "LSTM(3, 4)",
    "LSTM(3, 4, 2, bidirectional=True, batch_first=True)", "LSTM(3, 4, 2, proj_size=2, bidirectional=True)",
    "LSTM(3, 4, bias=False, proj_size=3)", "GRU(3, 4)", "GRU(3, 4, 2, bidirectional=True)", "GRU(3, 4, bias=False)",
    "LSTM(3, 4, 3, dropout=0.4)", "GRU(3, 4, 2, dropout=0.4, bidirectional=True, batch_first=True)",
]  # fmt: skip


@pytest.mark.parametrize("construction", LAYERS)
def test_states_go_in_and_out_as_in_pytorch(construction: str) -> None:
    def program(torch: Any) -> Any:
        layer = _build(torch, construction)
        x = torch.randn((2, 5, 3) if layer.batch_first else (5, 2, 3)).requires_grad_()
        hx = _states(torch, layer, 2)
        return _results(torch, layer, [x, *_flat(hx)], layer(x, hx))

    assert_same(program, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [[5, 3, 1], [2, 5, 4], [4, 4, 4]])
@pytest.mark.parametrize("construction", LAYERS)
def test_packed_sequences_are_run_as_in_pytorch(construction: str, lengths: list[int]) -> None:
    def program(torch: Any) -> Any:
        layer, tools = _build(torch, construction), torch.nn.utils.rnn
        x = torch.randn((3, 5, 3) if layer.batch_first else (5, 3, 3)).requires_grad_()
        packed = tools.pack_padded_sequence(x, lengths, layer.batch_first, enforce_sorted=False)
        hx = _states(torch, layer, 3)
        y, last = layer(packed, hx)
        padded, found = tools.pad_packed_sequence(y, layer.batch_first)
        kept = [y.batch_sizes, y.sorted_indices, y.unsorted_indices, found, layer(packed)[0].data]
        return kept, _results(torch, layer, [x, *_flat(hx)], (y.data, padded, last))

    assert_same(program, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("construction", ["RNN(3, 4)", "LSTM(3, 4, proj_size=2)", "LSTM(3, 4)", "GRU(3, 4)"])
def test_second_derivatives_are_pytorchs(construction: str) -> None:
    def program(torch: Any) -> Any:
        layer = _build(torch, construction)
        x = torch.randn(4, 2, 3).requires_grad_()
        _, grads = _results(torch, layer, [x], layer(x))
        return torch.autograd.grad(sum(g.square().sum() for g in grads), [x, *layer.parameters()])

    assert_same(program, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
def test_packed_layers_pass_gradcheck_to_second_order(name: str) -> None:
    gates = {"gru": 3, "lstm": 4}.get(name, 1)
    shapes = [(3, 2, 1), (gates * 2, 1), (gates * 2, 2), (gates * 2,), (gates * 2,)]
    shapes += shapes[1:]
    inputs = [torchplug.rand(shape, dtype=torchplug.float64).sub(0.4).requires_grad_() for shape in shapes]

    def run(x: Any, *weights: Any) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, [3, 2])
        h = torchplug.zeros(2, 2, 2, dtype=torchplug.float64)
        hx = (h, h) if name == "lstm" else h
        return getattr(torchplug, name)(*packed[:2], hx, list(weights), True, 1, 0.0, False, True)

    assert torchplug.autograd.gradcheck(run, inputs)
    assert torchplug.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize("construction", LAYERS)
def test_nodes_have_pytorchs_names(construction: str) -> None:
    def program(torch: Any) -> Any:
        layer = _build(torch, construction)
        layer.batch_first = False
        x = torch.zeros(5, 2, 3)
        y, last = layer(x)
        packed, _ = layer(torch.nn.utils.rnn.pack_padded_sequence(x, [5, 3]))
        return [each.grad_fn.name() for each in (y, *_flat(last), packed.data)]

    assert_same(program)


@pytest.mark.parametrize(
    "construction", ["RNNCell(3, 4)", "LSTMCell(3, 4)", "GRUCell(3, 4)", "RNNCell(3, 4, True, 'relu')"]
)
def test_nodes_of_cells_have_pytorchs_names(construction: str) -> None:
    assert_same(lambda torch: [x.grad_fn.name() for x in _flat(_build(torch, construction)(torch.zeros(2, 3)))])


def test_an_output_may_be_written_before_the_gradient_is_taken() -> None:
    def program(torch: Any) -> Any:
        layer = torch.nn.GRU(3, 4)
        y, h = layer(torch.randn(5, 2, 3))
        y[2] = 0
        y.mul_(2)
        h.mul_(3)
        (y.sum() + h.sum()).backward()
        return [p.grad for p in layer.parameters()]

    assert_same(program)


@pytest.mark.parametrize(
    "construction", ["LSTM(3, 4, 2, bidirectional=True, proj_size=2)", "GRU(3, 4)", "LSTMCell(3, 4)"]
)
def test_a_state_dict_of_pytorch_loads_and_back(construction: str) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = _build(torch, construction), _build(torchplug, construction)
    state = {key: torchplug.tensor(value.numpy()) for key, value in theirs.state_dict().items()}
    assert str(ours.load_state_dict(state)) == "<All keys matched successfully>"
    x = torch.randn(5, 3) if "Cell" in construction else torch.randn(5, 2, 3)
    expected, found = _flat(theirs(x)), _flat(ours(torchplug.tensor(x.numpy())))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), rtol=1e-5, atol=1e-6)
    back = {key: torch.tensor(value.numpy()) for key, value in ours.state_dict().items()}
    assert str(theirs.load_state_dict(back)) == "<All keys matched successfully>"


def test_layers_and_packed_sequences_pickle_under_pytorchs_paths() -> None:
    layer = nn.LSTM(3, 4)
    packed = nn.utils.rnn.pack_sequence([torchplug.ones(3, 3), torchplug.zeros(2, 3)])
    written = pickle.dumps((layer, packed))
    assert b"torchplug.nn.modules.rnn" in written and b"torchplug.nn.utils.rnn" in written
    other, again = pickle.loads(written)
    assert torchplug.equal(other(again)[0].data, layer(packed)[0].data)


def test_the_state_of_an_old_pickle_is_understood() -> None:
    layer = nn.GRU(3, 4)
    state = dict(layer.__dict__)
    state["all_weights"] = state.pop("_all_weights")
    del state["proj_size"]
    state |= {"_flat_weights": [], "_flat_weight_refs": []}
    other = nn.GRU.__new__(nn.GRU)
    other.__setstate__(state)
    assert other.proj_size == 0 and other.all_weights[0][0] is layer.weight_ih_l0
    assert torchplug.equal(other(torchplug.ones(2, 1, 3))[0], layer(torchplug.ones(2, 1, 3))[0])


def test_a_replaced_weight_is_used() -> None:
    def program(torch: Any) -> Any:
        layer = torch.nn.LSTM(3, 4)
        layer.weight_hh_l0 = torch.nn.Parameter(torch.ones(16, 4))
        layer.flatten_parameters()
        return (
            layer(torch.ones(3, 1, 3))[0],
            [[w.shape for w in each] for each in layer.all_weights],
            layer._flat_weights,
        )

    assert_same(program)


# ---- packing ---------------------------------------------------------------------------------------------------------

PACKING = [
    "pack_padded_sequence(x, [5, 3])", "pack_padded_sequence(x, torch.tensor([5, 3]))",
    "pack_padded_sequence(x, [3, 5], enforce_sorted=False)", "pack_padded_sequence(x, [3, 5])",
    "pack_padded_sequence(x, [5, 0])", "pack_padded_sequence(x, [5])", "pack_padded_sequence(x, torch.tensor([5., 2.]))",
    "pack_padded_sequence(x, torch.tensor([[5, 2]]))", "pack_padded_sequence(x[:0], [5, 2])",
    "pack_padded_sequence(x, [2, 2, 2, 1, 1], batch_first=True)", "pack_padded_sequence(x, [])",
    "pad_packed_sequence(pack_padded_sequence(x, [4, 2]), padding_value=2, total_length=7)",
    "pad_packed_sequence(pack_padded_sequence(x, [4, 2]), total_length=3)",
    "pad_packed_sequence(pack_padded_sequence(x, [2, 4], enforce_sorted=False), batch_first=True)",
    "pad_sequence([x[0], x[1, :1]])", "pad_sequence([x[0, 0], x[1, 0, :2]], True, 5.0, 'left')", "pad_sequence(x)",
    "pad_sequence([x[0], x[0].double()])", "pad_sequence(y for y in x)", "pad_sequence([])", "pad_sequence(3)", "pad_sequence([3])",
    "pad_sequence([x], padding_side='foo')", "pack_sequence([x[:, 0], x[:2, 1]])", "pack_sequence([x[:2, 0], x[:, 1]])",
    "pack_sequence([x[:2, 0], x[:, 1]], enforce_sorted=False)", "pack_sequence([])",
    "unpack_sequence(pack_sequence([x[:2, 0], x[:, 1]], enforce_sorted=False))",
    "unpad_sequence(x, torch.tensor([3, 5]))", "unpad_sequence(x, torch.tensor([1, 2, 2, 1, 1]), batch_first=True)",
    "invert_permutation(torch.tensor([2, 0, 1]))", "invert_permutation(None)", "PackedSequence(x)",
    "PackedSequence(x, torch.tensor([3, 2]))", "PackedSequence((x, torch.tensor([3, 2])))",
    "PackedSequence(x, torch.tensor([3, 2]), torch.tensor([2, 0, 1]))",
    "PackedSequence(x, torch.tensor([3, 2]), torch.tensor([2, 0, 1])).to(torch.float64)",
    "[getattr(PackedSequence(x, torch.tensor([3])), n)().data.dtype for n in "
    "('double', 'float', 'half', 'long', 'int', 'short', 'char', 'byte')]",
    "PackedSequence(x, torch.tensor([3, 2])).cpu().is_cuda", "PackedSequence(x, torch.tensor([3, 2])).is_pinned()",
]  # fmt: skip


@pytest.mark.parametrize("call", PACKING)
def test_packing_and_padding_are_pytorchs(call: str) -> None:
    def program(torch: Any) -> Any:
        tools = torch.nn.utils.rnn
        result = eval(call, {"torch": torch, "x": torch.randn(5, 2, 3), **vars(tools)})
        return tuple(result) if isinstance(result, tools.PackedSequence) else result

    assert_same(program)


def test_a_length_beyond_the_steps_is_refused() -> None:
    # PyTorch returns a sequence whose batch sizes are more than its data.
    with pytest.raises(RuntimeError, match="got a length of 6, expected at most 5"):
        nn.utils.rnn.pack_padded_sequence(torchplug.ones(5, 2), [6, 2])


def test_a_packed_sequence_goes_to_its_own_type_as_itself() -> None:
    packed = nn.utils.rnn.pack_sequence([torchplug.ones(2)])
    assert packed.to(torchplug.float32) is packed and packed.cpu() is packed


# ---- errors ----------------------------------------------------------------------------------------------------------

REFUSED = [
    "RNN(3, 4, dropout=2)", "RNN(3, 4, dropout=True)", "RNN(3, 4, dropout=.5)", "LSTM(3, 4, dropout='a')", "RNN(3, 0)", "RNN(3, -1)",
    "RNN(3, 4.0)", "RNN(0, 4)", "RNN(3, 4, 0)", "LSTM(3, 4, proj_size=-1)", "LSTM(3, 4, proj_size=4)",
    "GRU(3, 4, proj_size=2)", "RNN(3, 4, proj_size=0)", "RNN(3, 4, nonlinearity='foo')", "RNNBase('foo', 3, 4)",
    "RNNCell(3, 4, nonlinearity='foo')(Z(2, 3))", "RNNCell(3, 4)(Z(3, 4, 5))", "GRUCell(3, 4)(Z(3, 4, 5))",
    "LSTMCell(3, 4)(Z(3, 4, 5))", "LSTMCell(3, 4)(Z(2, 3), (Z(2, 4, 1), Z(2, 4)))", "LSTMCell(3, 4)(Z(2, 3), (Z(2, 4), Z(4)))",
    "LSTMCell(3, 4)(Z(3), (Z(2, 4), Z(2, 4)))", "RNNCell(3, 4)(Z(2, 3), Z(1, 2, 4))", "RNNCell(3, 4)(Z(2, 3), Z(4))",
    "GRUCell(3, 4)(Z(2, 5))", "GRUCell(3, 4)(Z(2, 3), Z(3, 4))", "LSTMCell(3, 4)(Z(2, 3), Z(2, 4))",
    "RNNCell(3, 4)(Z(2, 3).double())", "RNN(3, 4)(Z(5, 2, 7))", "RNN(3, 4)(Z(5, 2, 3, 1))", "RNN(3, 4)(Z(3))",
    "LSTM(3, 4)(Z(5, 2, 3, 1))", "GRU(3, 4)(Z(5, 2, 3, 1))", "RNN(3, 4)(Z(5, 2, 3).double())", "LSTM(3, 4)(Z(5, 2, 3).long())",
    "RNN(3, 4)(Z(5, 2, 3), Z(1, 3, 4))", "GRU(3, 4)(Z(5, 2, 3), Z(2, 4))", "GRU(3, 4)(Z(5, 3), Z(1, 1, 4))",
    "GRU(3, 4)(Z(5, 3), Z(2, 4))", "LSTM(3, 4)(Z(5, 2, 3), (Z(2, 4), Z(2, 4)))", "LSTM(3, 4)(Z(5, 2, 3), (Z(2, 4), Z(1, 2, 4)))",
    "LSTM(3, 4)(Z(5, 3), (Z(1, 1, 4), Z(1, 4)))", "LSTM(3, 4)(Z(5, 2, 3), (Z(1, 3, 4), Z(1, 2, 4)))",
    "LSTM(3, 4)(Z(5, 2, 3), (Z(1, 2, 4), Z(1, 3, 4)))", "LSTM(3, 4, proj_size=2)(Z(5, 2, 3), (Z(1, 2, 4), Z(1, 2, 4)))",
    "LSTM(3, 4)(Z(0, 2, 3))", "GRU(3, 4)(Z(0, 2, 3))", "GRU(3, 4)(Z(2, 0, 3))[0]", "LSTM(3, 4)(Z(2, 0, 3))[0]",
    "GRU(3, 4)(P(Z(5, 2, 3), [5, 3]), Z(1, 3, 4))", "GRU(3, 4)(P(Z(5, 2, 3), [5, 3]), Z(3, 4))",
]  # fmt: skip


@pytest.mark.parametrize("call", REFUSED)
def test_wrong_calls_are_refused_in_pytorchs_words(call: str) -> None:
    def program(torch: Any) -> Any:
        names = {"Z": torch.zeros, "P": torch.nn.utils.rnn.pack_padded_sequence}
        return eval(f"nn.{call}", {"nn": torch.nn, **names})

    assert_same(program)


def test_both_forms_of_a_function_take_keywords() -> None:
    def program(torch: Any) -> Any:
        weights = [torch.randn(4, 3), torch.randn(4, 4)]
        options = {
            "params": weights,
            "has_biases": False,
            "num_layers": 1,
            "dropout": 0.0,
            "train": True,
            "bidirectional": False,
        }
        h = torch.zeros(1, 2, 4)
        return (
            torch.rnn_tanh(torch.ones(2, 5, 3), h, batch_first=True, **options),
            torch.rnn_relu(torch.ones(3, 3), torch.tensor([2, 1]), h, **options),
            torch.rnn_tanh(data=torch.ones(3, 3), batch_sizes=torch.tensor([2, 1]), hx=h, **options),
        )

    assert_same(program)


def test_a_form_that_is_neither_is_refused() -> None:
    with pytest.raises(TypeError, match="expected .*batch_sizes"):
        torchplug.gru(torchplug.ones(2, 5, 3), torchplug.zeros(1, 2, 4))


# ---- engines ---------------------------------------------------------------------------------------------------------


def _weights(out: Any) -> Any:
    return torchplug.tensor(np.cos(np.arange(out.numel())).reshape(out.shape)).to(out.dtype)


def _run_on(engine: str, construction: str, lengths: list[int] | None, dtype: Any) -> list[np.ndarray]:
    with torchplug.use_backend(engine):
        torchplug.manual_seed(0)
        layer = _build(torchplug, construction).to(dtype)
        x = torchplug.randn(5, 3, 3, dtype=torchplug.float64).to(dtype)[:, :, ::1].requires_grad_()
        fed = x if lengths is None else nn.utils.rnn.pack_padded_sequence(x, lengths)
        y, last = layer(fed)
        outs = [y.data if lengths else y, *_flat(last)]
        loss = sum((out * _weights(out)).sum() for out in outs)
        grads = torchplug.autograd.grad(loss, [x, *layer.parameters()])
        return [each.detach().double().cpu().numpy() for each in (*outs, *grads)]


PLAIN = [layer for layer in LAYERS if "dropout" not in layer and "batch_first" not in layer]
PRECISIONS = {"numpy": {"float64": 1e-12, "float32": 1e-5, "float16": 2e-2, "bfloat16": 0.2}, "jax": {"float32": 1e-5}}
KERNEL_CASES = [
    (engine, layer, dtype, error)
    for engine in ENGINES
    for layer in PLAIN
    for dtype, error in PRECISIONS[engine].items()
] + [("jax", layer, "bfloat16", 0.2) for layer in ("RNN(3, 4)", "LSTM(3, 4)", "GRU(3, 4)") if "jax" in ENGINES]


@pytest.mark.parametrize("lengths", [None, [5, 3, 1]])
@pytest.mark.parametrize(("engine", "construction", "dtype", "error"), KERNEL_CASES)
def test_a_kernel_gives_what_the_composition_gives(
    engine: str, construction: str, dtype: str, error: float, lengths: list[int] | None
) -> None:
    kind = getattr(torchplug, dtype)
    expected = _run_on("strict", construction, lengths, torchplug.float64 if dtype == "bfloat16" else kind)
    for found, wanted in zip(_run_on(engine, construction, lengths, kind), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=error, atol=error)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", [f"{kind}_layer{end}" for kind in ("rnn", "lstm", "gru") for end in ("", "_backward")])
def test_an_engine_has_a_kernel_of_its_own(engine: str, name: str) -> None:
    with torchplug.use_backend(engine):
        backend = torchplug.zeros(1)._kind.engine.backend
    assert name in COMPOSITIONS
    assert getattr(getattr(type(backend), name), "__torchplug_kernel__", None) == name


@pytest.mark.parametrize("cls", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_kernel_keeps_nothing_a_later_call_overwrites(cls: Any) -> None:
    with torchplug.use_backend("numpy"):
        layer, x = cls(3, 4), torchplug.randn(5, 2, 3)
        first, _ = layer(x)
        before = array_of(first).copy()
        layer(torchplug.randn(5, 2, 3))[0].sum().backward()
        np.testing.assert_array_equal(array_of(first), before)


@pytest.mark.parametrize("construction", ["RNN(3, 4)", "LSTM(3, 4, 2, proj_size=2)", "GRU(3, 4, bidirectional=True)"])
def test_a_compiled_step_trains_as_the_plain_one(backend: str, construction: str) -> None:
    def losses(compile_it: bool) -> list[float]:
        torchplug.manual_seed(0)
        layer = _build(torchplug, construction)
        optimizer = torchplug.optim.SGD(layer.parameters(), lr=0.1)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            packed = nn.utils.rnn.pack_padded_sequence(x, [2, 5, 3], enforce_sorted=False)
            loss = nn.utils.rnn.pad_packed_sequence(layer(packed)[0])[0].square().mean() + layer(x)[0].square().mean()
            loss.backward()
            optimizer.step()
            return loss

        run = torchplug.compile(step) if compile_it else step
        return [run(torchplug.randn(5, 3, 3)).item() for _ in range(4)]

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-4)


def test_an_lstm_can_be_driven_step_by_step_by_its_cell(backend: str) -> None:
    layer, cell = nn.LSTM(3, 4), nn.LSTMCell(3, 4)
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
    x = torchplug.randn(4, 2, 3)
    state = None
    for row in x:
        state = cell(row, state)
    _, last = layer(x)
    for one, other in zip(state, last, strict=True):
        np.testing.assert_allclose(one.detach().cpu().numpy(), other[0].detach().cpu().numpy(), rtol=1e-5, atol=1e-6)
