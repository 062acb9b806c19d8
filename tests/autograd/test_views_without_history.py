"""Views made while nothing is recorded, or before their base requires grad: they say what PyTorch's say, on every engine."""

from __future__ import annotations

import copy

import pytest

import torchplug

torch = pytest.importorskip("torch")

VIEWS = {
    "view": lambda x: x.view(2, 3),
    "slice": lambda x: x[1:3],
    "element": lambda x: x[0],
    "expand": lambda x: x.expand(2, 6),
    "transpose": lambda x: x.view(2, 3).t(),
    "unbind": lambda x: x.unbind()[1],
    "split": lambda x: x.split(4)[0],
    "reshape": lambda x: x.reshape(2, 3),
    "as_strided": lambda x: x.as_strided((2,), (3,)),
    "detach": lambda x: x.detach(),
    "data": lambda x: x.data,
    "copy": lambda x: x.clone(),
}


def described(lib, value):
    """Returns what the two libraries must agree on, in plain values."""
    if isinstance(value, lib.Tensor):
        name = value.grad_fn and value.grad_fn.name()
        return value.detach().tolist(), value.requires_grad, value.is_leaf, name
    if isinstance(value, (tuple, list)):
        return [described(lib, item) for item in value]
    return value


def both(program):
    """Returns what a program gives on PyTorch and on torchplug; an exception as its type and first line."""
    results = []
    for lib in (torch, torchplug):
        try:
            results.append(described(lib, program(lib)))
        except RuntimeError as error:
            results.append((type(error).__name__, str(error).splitlines()[0]))
    return results


def unrecorded(lib, view=VIEWS["view"], base=lambda leaf: leaf):
    """Returns a leaf and a view, made under no_grad, of what `base` makes of it."""
    leaf = lib.arange(6.0).requires_grad_()
    whole = base(leaf)
    with lib.no_grad():
        return leaf, view(whole)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("base", [lambda leaf: leaf, lambda leaf: leaf * 1], ids=["leaf", "result"])
def test_a_view_made_under_no_grad_requires_grad_as_its_base_does(backend, view, base):
    theirs, ours = both(lambda lib: unrecorded(lib, VIEWS[view], base)[1])
    assert ours == theirs


def gradients_of_its_use(lib):
    leaf, view = unrecorded(lib)
    (view * 2).sum().backward()
    return leaf.grad, view.grad


def gradient_beside_another_way(lib):
    leaf, view = unrecorded(lib)
    (view.view(-1) * leaf).sum().backward()
    return leaf.grad


def asked_for_by_name(lib):
    _, view = unrecorded(lib)
    return lib.autograd.grad((view * 2).sum(), view)


def asked_for_if_used(lib):
    _, view = unrecorded(lib)
    return lib.autograd.grad((view * 2).sum(), view, allow_unused=True)


def start_of_backward(lib):
    _, view = unrecorded(lib)
    view.backward(lib.ones(2, 3))


def hook(lib):
    _, view = unrecorded(lib)
    seen = []
    view.register_hook(seen.append)
    (view * 2).sum().backward()
    return seen


def next_function(lib):
    _, view = unrecorded(lib)
    return (view * 2).grad_fn.next_functions


def view_of_the_view(lib):
    return unrecorded(lib)[1].view(-1)


def made_a_leaf_of_its_own(lib):
    leaf, view = unrecorded(lib)
    view.requires_grad_()
    (view * 2).sum().backward()
    return leaf.grad, view.grad


def told_not_to_require_grad(lib):
    _, view = unrecorded(lib)
    return view.requires_grad_(False)


def exported(lib):
    return unrecorded(lib)[1].numpy()


def deep_copied(lib):
    return copy.deepcopy(unrecorded(lib)[1])


def parameter(lib):
    leaf, view = unrecorded(lib)
    made = lib.nn.Parameter(view)
    (made * 2).sum().backward()
    return leaf.grad, made.grad


def written_while_recording(lib):
    _, view = unrecorded(lib)
    view.mul_(2)


def written_without_recording(lib):
    leaf, view = unrecorded(lib)
    with lib.no_grad():
        view.mul_(2)
        return leaf.tolist(), (view * 2).tolist(), view.requires_grad


def used_after_a_write_without_recording(lib):
    leaf, view = unrecorded(lib)
    with lib.no_grad():
        leaf.mul_(2)
    (view * leaf.view(2, 3)).sum().backward()


def used_before_the_write_as_well(lib):
    leaf, view = unrecorded(lib)
    (view * 2).sum().backward()
    with lib.no_grad():
        leaf.mul_(2)
    return view.grad_fn


def used_after_a_write_through_data(lib):
    leaf, view = unrecorded(lib)
    leaf.data.mul_(2)
    (view * leaf.view(2, 3)).sum().backward()
    return leaf.grad


def detached_in_place(lib):
    unrecorded(lib)[1].detach_()


def made_in_inference_mode(lib):
    leaf = lib.arange(6.0).requires_grad_()
    with lib.inference_mode():
        return leaf.view(2, 3).requires_grad


def base_that_requires_grad_later(lib):
    base = lib.arange(6.0)
    view = base.view(2, 3)
    base.requires_grad_()
    return view


def use_of_a_view_older_than_its_bases_wish(lib):
    base = lib.arange(6.0)
    view = base.view(2, 3)
    base.requires_grad_()
    (view * 2).sum().backward()
    return base.grad, view.grad


def write_to_a_view_older_than_its_bases_wish(lib):
    base = lib.arange(6.0)
    view = base.view(2, 3)
    base.requires_grad_()
    view.mul_(2)


def base_that_requires_grad_no_more(lib):
    leaf, view = unrecorded(lib)
    leaf.requires_grad_(False)
    return view


def own_leaf_of_a_base_that_requires_grad_no_more(lib):
    leaf, view = unrecorded(lib)
    view.requires_grad_()
    leaf.requires_grad_(False)
    return view


PROGRAMS = [
    gradients_of_its_use,
    gradient_beside_another_way,
    asked_for_by_name,
    asked_for_if_used,
    start_of_backward,
    hook,
    next_function,
    view_of_the_view,
    made_a_leaf_of_its_own,
    told_not_to_require_grad,
    exported,
    deep_copied,
    parameter,
    written_while_recording,
    written_without_recording,
    used_after_a_write_without_recording,
    used_before_the_write_as_well,
    used_after_a_write_through_data,
    detached_in_place,
    made_in_inference_mode,
    base_that_requires_grad_later,
    use_of_a_view_older_than_its_bases_wish,
    write_to_a_view_older_than_its_bases_wish,
    base_that_requires_grad_no_more,
    own_leaf_of_a_base_that_requires_grad_no_more,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.__name__ for program in PROGRAMS])
def test_a_view_without_history_behaves_as_pytorchs(backend, program):
    theirs, ours = both(program)
    assert ours == theirs
