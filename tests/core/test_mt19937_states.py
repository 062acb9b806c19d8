"""The host generator takes PyTorch's seeds, exchanges PyTorch's states and raises PyTorch's errors."""

from __future__ import annotations

import numpy as np
import pytest
from generator_pair import BFLOAT16, Pair

from torchplug._core.mt19937 import DEFAULT_SEED, HostGenerator


@pytest.mark.parametrize("words", (0, 1, 623, 624, 625, 1248, 2000))
def test_states_are_exchanged_with_torch_at_any_place(words: int) -> None:
    pair = Pair(2**40 + 77)
    pair.draw("rand", words, np.float32)
    assert pair.host.get_state().tobytes() == pair.other.get_state().numpy().tobytes()
    pair.draw("randn", 1, np.float64)  # leaves a spare normal number
    theirs = pair.other.get_state().numpy().copy()
    host = HostGenerator(0)
    host.set_state(theirs)
    assert host.get_state().tobytes() == theirs.tobytes()
    assert host.initial_seed() == 2**40 + 77
    pair.host = host
    pair.draw("randn", 3, np.float64)
    other = pair.torch.Generator()
    other.set_state(pair.torch.from_numpy(host.get_state()))
    pair.other = other
    pair.draw("randn", 5, np.float64)
    pair.draw("rand", 700, np.float32)


def test_a_state_from_before_the_first_draw_comes_back_unchanged() -> None:
    fresh = HostGenerator(3).get_state()
    host = HostGenerator(4)
    relabelled = fresh.copy()
    relabelled[:8] = np.array([99], np.uint64).view(np.uint8)  # the seed no longer tells the key
    host.set_state(relabelled)
    assert host.get_state().tobytes() == relabelled.tobytes()
    assert host.rand(5).tobytes() == HostGenerator(3).rand(5).tobytes()


def test_a_state_is_a_copy() -> None:
    host = HostGenerator(1)
    state = host.get_state()
    before = state.copy()
    host.rand(10)
    assert state.tobytes() == before.tobytes()
    state[:] = 0
    host.rand(10)


def test_a_clone_draws_the_same_numbers_and_leaves_the_original_alone() -> None:
    host = HostGenerator(1)
    host.randn(3)
    twin = host.clone()
    assert twin.initial_seed() == 1
    drawn = twin.randn(5, np.float64)
    assert drawn.tobytes() == host.randn(5, np.float64).tobytes()


@pytest.mark.parametrize("seed", (0, 1, -1, -(2**63), 2**63, 2**64 - 1, 2**32, 2**40 + 5, DEFAULT_SEED, np.int64(-7)))
def test_seeds_are_mapped_as_torch_maps_them(seed: int) -> None:
    pair = Pair()
    assert pair.host.manual_seed(seed) is pair.host
    pair.other.manual_seed(int(seed))
    assert pair.host.initial_seed() == pair.other.initial_seed()
    pair.draw("rand", 700, np.float32)
    pair.assert_in_step()


def test_a_generator_nobody_seeded_is_that_of_torch() -> None:
    pair = Pair()
    pair.host, pair.other = HostGenerator(), pair.torch.Generator()
    assert pair.host.initial_seed() == pair.other.initial_seed() == DEFAULT_SEED
    pair.draw("rand", 5, np.float32)


def test_seed_restarts_at_a_number_of_its_own_choice() -> None:
    host = HostGenerator(1)
    seed = host.seed()
    assert 0 <= seed < 2**53 and seed == host.initial_seed() and seed != HostGenerator(1).seed()
    assert host.rand(4).tobytes() == HostGenerator(seed).rand(4).tobytes()


@pytest.mark.parametrize("seed", (2**64, -(2**63) - 1))
def test_seeds_beyond_64_bits_raise_torchs_error(seed: int) -> None:
    pair = Pair()
    for generator in (pair.host, pair.other):
        with pytest.raises(ValueError, match="^Overflow when unpacking long long$"):
            generator.manual_seed(seed)


@pytest.mark.parametrize("seed", (1.5, "a", None, True))
def test_seeds_that_are_no_integers_raise_torchs_error(seed: object) -> None:
    pair = Pair()
    for generator in (pair.host, pair.other):
        with pytest.raises(RuntimeError, match=f"^manual_seed expected a long, but got {type(seed).__name__}$"):
            generator.manual_seed(seed)


@pytest.mark.parametrize("size", (0, 5048, 5055))
def test_a_state_of_another_size_raises_torchs_error(size: int) -> None:
    pair = Pair()
    state = np.zeros(size, np.uint8)
    sentence = f"Expected a CPUGeneratorImplState of size 5056 but found the input RNG state size to be {size}"
    with pytest.raises(RuntimeError, match=sentence):
        pair.host.set_state(state)
    with pytest.raises(RuntimeError, match=sentence):
        pair.other.set_state(pair.torch.from_numpy(state))


@pytest.mark.parametrize(("first", "value"), [(8, 0), (8, 700), (12, 0), (16, 900), (16, 3)])
def test_an_impossible_state_raises(first: int, value: int) -> None:
    host = HostGenerator(1)
    before = host.get_state()
    state = before.copy()
    state[first : first + 4] = np.array([value], np.int32).view(np.uint8)
    with pytest.raises(RuntimeError, match="^Invalid mt19937 state$"):
        host.set_state(state)
    assert host.get_state().tobytes() == before.tobytes()
    for wrong in (np.zeros(5056), [1, 2], None):
        with pytest.raises(TypeError, match="RNG state must be a torch.ByteTensor"):
            host.set_state(wrong)


F32, F16 = np.float32, np.float16
INFINITE, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("rand", (3, np.int64)),
        ("uniform", (3, F32, 2.0, 1.0)),
        ("uniform", (3, F32, -1e39, 1.0)),
        ("uniform", (3, F32, 0.0, 1e39)),
        ("uniform", (3, F32, NAN, 1.0)),
        ("uniform", (3, F32, -3e38, 3e38)),
        ("uniform", (3, F16, 0.0, 7e4)),
        ("uniform", (3, F16, -6e4, 6e4)),
        ("uniform", (3, BFLOAT16, 0.0, 1e39)),
        ("uniform", (3, np.float64, 0.0, INFINITE)),
        ("uniform", (3, np.complex64, 0.0, 1e39)),
        ("randn", (3, np.int32)),
        ("normal", (3, bool, 0.0, 1.0)),
        ("normal", (3, F32, 0.0, -1.0)),
        ("normal_arrays", (np.zeros(2, F32), np.array([-1, 1], F32))),
        ("normal_arrays", (np.zeros(2, F32), -1.0)),
        ("normal_arrays", (np.zeros(2, F32), np.ones(2, np.complex64))),
        ("normal_arrays", (np.zeros(2, np.int64), np.ones(2, F32))),
        ("exponential", (3, F32, 0.0)),
        ("exponential", (3, np.int64, 1.0)),
        ("exponential", (3, np.complex64, 1.0)),
        ("geometric", (3, F32, 0.0)),
        ("geometric", (3, F32, 1.5)),
        ("geometric", (3, bool, 0.5)),
        ("geometric", (3, np.complex64, 0.5)),
        ("cauchy", (3, F32, 0.0, 0.0)),
        ("cauchy", (3, np.int64, 0.0, 1.0)),
        ("cauchy", (3, bool, 0.0, 1.0)),
        ("cauchy", (3, np.complex64, 0.0, 1.0)),
        ("log_normal", (3, F32, 0.0, 0.0)),
        ("log_normal", (3, np.int64, 0.0, 1.0)),
        ("bernoulli", (1.5, 3, F32)),
        ("bernoulli", (0.5, 3, np.complex64)),
        ("bernoulli", (np.array([1.5], F32), 1, F32)),
        ("bernoulli", (np.array([NAN], F32), 1, F32)),
        ("bernoulli", (np.array([1]), 1, F32)),
        ("dropout_mask", (3, 1.5, F32)),
        ("randint", (2, 5, 5, np.int64)),
        ("randint", (2, 0, 300, np.uint8)),
        ("randint", (2, -1, 3, np.uint8)),
        ("randint", (2, 0, 3, bool)),
        ("randint", (2, 0, 70_000, F16)),
        ("randint", (2, -70_000, 7, F16)),
        ("randint", (2, 0, 2**40, np.int32)),
        ("randint", (2, 0, 7, np.complex64)),
        ("randint", (2, 2**25 + 1, 2**25 + 2, F32)),
        ("random_", (2, np.complex64)),
        ("random_", (2, np.int8, 200, None)),
        ("random_", (2, F16, 5000, None)),
        ("random_", (2, F16, -(2**63), None)),
        ("random_", (2, np.int32, -(2**63), None)),
        ("random_", (2, bool, -(2**63), None)),
        ("randperm", (-1, np.int64)),
        ("randperm", (257, np.uint8)),
        ("randperm", (129, np.int8)),
        ("randperm", (40_000, np.int16)),
        ("randperm", (2050, F16)),
        ("randperm", (2**24 + 2, F32)),
        ("randperm", (3, bool)),
        ("randperm", (3, np.complex64)),
        ("multinomial", (np.ones((1, 1, 1), F32), 1, True)),
        ("multinomial", (np.ones((), F32), 1, True)),
        ("multinomial", (np.ones(2, np.int64), 1, True)),
        ("multinomial", (np.ones(2, np.complex64), 1, True)),
        ("multinomial", (np.ones(2, F32), 0, True)),
        ("multinomial", (np.ones(2, F32), 3, False)),
        ("multinomial", (np.array([-1, 2], F32), 2, True)),
        ("multinomial", (np.array([-1, 2], F32), 1, False)),
        ("multinomial", (np.array([INFINITE, 2], F32), 2, True)),
        ("multinomial", (np.array([INFINITE, 2], F32), 2, False)),
        ("multinomial", (np.array([NAN, 2], F32), 1, True)),
        ("multinomial", (np.array([[1, 2], [0, 0]], F32), 2, True)),
        ("multinomial", (np.array([[1, 2], [0, 0]], F32), 1, False)),
        ("poisson", (np.array([-1.0]),)),
        ("poisson", (np.array([NAN]),)),
        ("poisson", (np.array([1]),)),
    ],
)
def test_misuse_raises_torchs_error_and_draws_nothing(method: str, args: tuple) -> None:
    pair = Pair()
    before = pair.host.get_state()
    with pytest.raises(Exception) as theirs:  # noqa: B017
        pair.draws.draw(pair.other, method, *args)
    with pytest.raises(type(theirs.value)) as ours:
        getattr(pair.host, method)(*args)
    assert str(ours.value) == str(theirs.value).split("\n")[0]
    assert pair.host.get_state().tobytes() == before.tobytes()


def test_a_range_a_float_cannot_count_through_warns() -> None:
    with pytest.warns(UserWarning, match=r"to - 1 is out of bounds \[-\(2\^24\), 2\^24\]"):
        HostGenerator().randint(2, 0, 2**26, np.float32)


def test_a_permutation_too_long_for_the_host_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"at most 2\*\*31"):
        HostGenerator().randperm(2**31 + 1)
