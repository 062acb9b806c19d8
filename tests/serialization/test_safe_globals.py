"""What files may name: the list of safe globals, and what is refused."""

from __future__ import annotations

import io
import pickle

import pytest

import torchplug as torch
from torchplug import serialization


class Plain:
    """A class of the user's."""

    def __init__(self, x=0):
        self.x = x

    def __eq__(self, other):
        return type(other) is Plain and other.x == self.x

    __hash__ = None


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self):
        self.x, self.y = 1, 2


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x)


@pytest.fixture(autouse=True)
def _nothing_added():
    yield
    serialization.clear_safe_globals()


def _saved(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    stream.seek(0)
    return stream


@pytest.mark.parametrize("weights_only", [None, True, False])
def test_classes_of_the_users_are_refused_until_they_are_added(weights_only):
    with pytest.raises(pickle.UnpicklingError) as caught:
        torch.load(_saved(Plain(3)), weights_only=weights_only)
    text = str(caught.value)
    assert text.startswith("Weights only load failed. ")
    assert "torchplug has no unsafe mode" in text
    assert f"Unsupported global: GLOBAL {__name__}.Plain was not an allowed global by default" in text
    assert f"torch.serialization.add_safe_globals([{__name__}.Plain])" in text


@pytest.mark.parametrize("value", [Plain(3), [Plain(1), {"a": Plain(2)}]])
def test_added_classes_load(value):
    serialization.add_safe_globals([Plain])
    assert torch.load(_saved(value)) == value


def test_added_classes_with_slots_load():
    with serialization.safe_globals([Slotted]):
        loaded = torch.load(_saved(Slotted()))
    assert (loaded.x, loaded.y) == (1, 2)


def test_an_added_module_loads_whole_and_computes(backend):
    net = Net()
    serialization.add_safe_globals([Net])
    loaded = torch.load(_saved(net))
    x = torch.ones(1, 2)
    assert loaded(x).tolist() == net(x).tolist()


def test_a_class_may_be_added_under_the_name_the_file_has():
    stream = io.BytesIO(_saved(Plain(5)).getvalue().replace(b"test_safe_globals\nPlain", b"test_safe_globals\nOther"))
    with pytest.raises(RuntimeError, match="the data is damaged"):
        torch.load(stream)
    serialization.add_safe_globals([(Plain, f"{__name__}.Renamed")])
    assert serialization.get_safe_globals() == [(Plain, f"{__name__}.Renamed")]
    with pytest.raises(pickle.UnpicklingError, match="Plain was not an allowed global"):
        torch.load(_saved(Plain(5)))


def test_the_with_block_takes_back_what_it_added():
    with serialization.safe_globals([Plain]):
        assert serialization.get_safe_globals() == [Plain]
        torch.load(_saved(Plain()))
    assert serialization.get_safe_globals() == []
    with pytest.raises(pickle.UnpicklingError):
        torch.load(_saved(Plain()))


def test_what_a_file_asks_for_can_be_listed_without_loading_it():
    stream = _saved([Plain(), torch.ones(2), Net()])
    assert serialization.get_unsafe_globals_in_checkpoint(stream) == [f"{__name__}.Net", f"{__name__}.Plain"]


def test_listing_wants_a_checkpoint():
    with pytest.raises(ValueError, match=r"Expected input to be a checkpoint returned by torch\.save"):
        serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(b"nothing"))


@pytest.mark.parametrize("item", [(Plain,), (Plain, "a", "b")])
def test_a_pair_must_be_a_pair(item):
    with pytest.raises(ValueError, match="Expected tuple of length 2"):
        serialization.add_safe_globals([item])


def test_another_pickle_module_is_refused():
    with pytest.raises(ValueError, match="expected pickle; torchplug has no unsafe mode"):
        torch.load(_saved(1), pickle_module=io)


@pytest.mark.parametrize("value", [torch.nn.functional.relu, torch.nn.Linear, [torch.float32, torch.nn.Parameter]])
def test_functions_and_classes_of_torch_are_saved_by_name(value):
    assert torch.load(_saved(value)) == value


def test_optimizers_and_schedules_load_whole(backend):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight], lr=0.1)
    weight.grad = torch.ones(2)
    optimizer.step()
    loaded = torch.load(_saved(optimizer))
    assert repr(loaded) == repr(optimizer)
    (p,) = loaded.param_groups[0]["params"]
    p.grad = torch.ones(2)
    loaded.step()
    optimizer.step()
    assert p.tolist() == weight.tolist()


def test_what_cannot_be_pickled_says_so_and_writes_nothing(tmp_path):
    path = tmp_path / "file.pt"
    with pytest.raises((pickle.PicklingError, AttributeError)):
        torch.save(lambda: None, path)
    assert list(tmp_path.iterdir()) == []
