"""Sequential, ModuleList, ModuleDict, ParameterList and ParameterDict: every operation, its result and its errors."""

from __future__ import annotations

import operator
from collections import OrderedDict
from typing import Any

import pytest
from same_program import assert_same


def _linears(torch: Any, count: int) -> list[Any]:
    return [torch.nn.Linear(1, place + 1) for place in range(count)]


def _names(module: Any) -> list[str]:
    return list(module._modules)


OPERATIONS = {
    "first": lambda torch, c: c[0],
    "last": lambda torch, c: c[-1],
    "too far": lambda torch, c: c[3],
    "too far back": lambda torch, c: c[-4],
    "a string": lambda torch, c: c["a"],
    "a tensor index": lambda torch, c: c[torch.tensor(1)],
    "slice": lambda torch, c: c[1:],
    "backward slice": lambda torch, c: c[::-1],
    "set": lambda torch, c: c.__setitem__(1, torch.nn.ReLU()),
    "set last": lambda torch, c: c.__setitem__(-1, torch.nn.ReLU()),
    "set too far": lambda torch, c: c.__setitem__(5, torch.nn.ReLU()),
    "set number": lambda torch, c: c.__setitem__(0, 3),
    "delete": lambda torch, c: c.__delitem__(1),
    "delete last": lambda torch, c: c.__delitem__(-1),
    "delete slice": lambda torch, c: c.__delitem__(slice(0, 2)),
    "delete every other": lambda torch, c: c.__delitem__(slice(None, None, 2)),
    "delete too far": lambda torch, c: c.__delitem__(9),
    "add": lambda torch, c: c + type(c)(*_as_arguments(c, _linears(torch, 2))),
    "add number": lambda torch, c: c + 3,
    "add to itself": lambda torch, c: operator.iadd(c, type(c)(*_as_arguments(c, _linears(torch, 1)))),
    "pop": lambda torch, c: c.pop(0),
    "pop last": lambda torch, c: c.pop(-1),
    "pop slice": lambda torch, c: c.pop(slice(0, 2)),
    "pop too far": lambda torch, c: c.pop(4),
    "append": lambda torch, c: c.append(torch.nn.ReLU()),
    "append number": lambda torch, c: c.append(3),
    "insert": lambda torch, c: c.insert(1, torch.nn.ReLU()),
    "insert at the end": lambda torch, c: c.insert(3, torch.nn.ReLU()),
    "extend": lambda torch, c: c.extend(_linears(torch, 2)),
    "extend by number": lambda torch, c: c.extend(3),
    "extend by numbers": lambda torch, c: c.extend([3]),
    "iterate": lambda torch, c: list(c),
    "reverse": lambda torch, c: list(reversed(c)),
    "length": lambda torch, c: len(c),
    "contains": lambda torch, c: (c[0] in c, 3 in c),
    "dir": lambda torch, c: [name for name in dir(c) if name[0].isdigit()],
}


def _as_arguments(container: Any, modules: list[Any]) -> list[Any]:
    return modules if type(container).__name__ == "Sequential" else [modules]


def _run(torch: Any, name: str, operation: str) -> Any:
    cls = getattr(torch.nn, name)
    container = cls(*_linears(torch, 3)) if name == "Sequential" else cls(_linears(torch, 3))
    result = OPERATIONS[operation](torch, container)
    return repr(result), container, _names(container)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", ["Sequential", "ModuleList"])
def test_lists_of_modules_have_the_operations_of_lists(name: str, operation: str) -> None:
    assert_same(lambda torch: _run(torch, name, operation))


def _imul(sequential: Any, factor: Any) -> Any:
    sequential *= factor
    return sequential


@pytest.mark.parametrize("factor", [1, 2, 0, -1, 1.5])
@pytest.mark.parametrize("multiply", [lambda s, n: s * n, lambda s, n: n * s, _imul], ids=["right", "left", "in place"])
def test_a_sequential_can_be_repeated(multiply: Any, factor: Any) -> None:
    assert_same(lambda torch: multiply(torch.nn.Sequential(*_linears(torch, 2)), factor))


@pytest.mark.parametrize("index, error", [(-1, None), (9, IndexError), (-4, IndexError)])
def test_insert_into_a_sequential_takes_places_within(index: int, error: Any) -> None:
    assert_same(lambda torch: torch.nn.Sequential(*_linears(torch, 3)).insert(index, torch.nn.ReLU()))


def test_insert_into_a_sequential_takes_modules_only() -> None:
    assert_same(lambda torch: torch.nn.Sequential().insert(0, 3))


SEQUENTIALS = {
    "empty": lambda torch: torch.nn.Sequential(),
    "called empty": lambda torch: torch.nn.Sequential()(3),
    "a number": lambda torch: torch.nn.Sequential(3),
    "a list": lambda torch: torch.nn.Sequential([torch.nn.ReLU()]),
    "named": lambda torch: torch.nn.Sequential(OrderedDict([("a", torch.nn.ReLU()), ("b", torch.nn.Tanh())])),
    "named slice": lambda torch: torch.nn.Sequential(OrderedDict([("a", torch.nn.ReLU()), ("b", torch.nn.Tanh())]))[:1],
    "named append": lambda torch: torch.nn.Sequential(OrderedDict(a=torch.nn.ReLU())).append(torch.nn.Tanh()),
    "two arguments": lambda torch: torch.nn.Sequential(torch.nn.ReLU())(1, 2),
    "nested": lambda torch: torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Flatten()), torch.nn.Tanh()
    ),
    "values": lambda torch: torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Softplus())(torch.tensor([-1.0, 2.0])),
}


@pytest.mark.parametrize("case", SEQUENTIALS)
def test_a_sequential_is_made_of_modules_and_runs_them_in_order(case: str) -> None:
    assert_same(SEQUENTIALS[case])


LISTS = {
    "empty": lambda torch: torch.nn.ModuleList(),
    "runs of equals": lambda torch: torch.nn.ModuleList(
        [torch.nn.Linear(1, 1), torch.nn.Linear(1, 1), torch.nn.ReLU()]
        + [torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Tanh()) for _ in range(2)]
    ),
    "nested": lambda torch: torch.nn.ModuleList([torch.nn.ModuleList([torch.nn.ReLU()] * 2)] * 2),
    "none": lambda torch: torch.nn.ModuleList([None, torch.nn.ReLU()]),
    "a number": lambda torch: torch.nn.ModuleList(3),
    "numbers": lambda torch: torch.nn.ModuleList([3]),
    "a module": lambda torch: torch.nn.ModuleList(torch.nn.ReLU()),
    "a generator": lambda torch: torch.nn.ModuleList(torch.nn.ReLU() for _ in range(2)),
    "called": lambda torch: torch.nn.ModuleList()(3),
    "plus a list": lambda torch: torch.nn.ModuleList() + [torch.nn.ReLU()],
}


@pytest.mark.parametrize("case", LISTS)
def test_a_module_list_is_made_of_modules_and_prints_runs_on_one_line(case: str) -> None:
    assert_same(LISTS[case])


def test_insert_into_a_module_list_counts_from_the_end_as_lists_do() -> None:
    import torchplug

    layers = torchplug.nn.ModuleList([torchplug.nn.ReLU(), torchplug.nn.Tanh()])
    layers.insert(-1, torchplug.nn.Sigmoid())
    assert [type(layer).__name__ for layer in layers] == ["ReLU", "Sigmoid", "Tanh"]


DICTS = {
    "get": lambda torch, d: d["a"],
    "get absent": lambda torch, d: d["z"],
    "set": lambda torch, d: d.__setitem__("q", torch.nn.ReLU()),
    "set number": lambda torch, d: d.__setitem__("q", 3),
    "set number key": lambda torch, d: d.__setitem__(3, torch.nn.ReLU()),
    "set dotted": lambda torch, d: d.__setitem__("a.b", torch.nn.ReLU()),
    "set method": lambda torch, d: d.__setitem__("keys", torch.nn.ReLU()),
    "delete": lambda torch, d: d.__delitem__("a"),
    "delete absent": lambda torch, d: d.__delitem__("z"),
    "pop": lambda torch, d: d.pop("a"),
    "pop absent": lambda torch, d: d.pop("z"),
    "views": lambda torch, d: (list(d.keys()), list(d.items()), list(d.values()), list(d), len(d), "b" in d),
    "update": lambda torch, d: d.update({"z": torch.nn.ReLU(), "a": torch.nn.ReLU()}),
    "update by pairs": lambda torch, d: d.update([["y", torch.nn.ReLU()]]),
    "update by itself": lambda torch, d: d.update(d),
    "update by number": lambda torch, d: d.update(3),
    "update by numbers": lambda torch, d: d.update([3]),
    "update by singles": lambda torch, d: d.update([["y"]]),
    "update by triples": lambda torch, d: d.update([["y", torch.nn.ReLU(), 3]]),
    "clear": lambda torch, d: d.clear(),
    "call": lambda torch, d: d(3),
}


@pytest.mark.parametrize("operation", DICTS)
def test_a_module_dict_has_the_operations_of_dictionaries(operation: str) -> None:
    def program(torch: Any) -> Any:
        layers = torch.nn.ModuleDict({"a": torch.nn.ReLU(), "b": torch.nn.Tanh()})
        return repr(DICTS[operation](torch, layers)), layers

    assert_same(program)


def _parameter(torch: Any, size: int) -> Any:
    return torch.nn.Parameter(torch.ones(size))


PARAMETER_LISTS = {
    "text": lambda torch, p: p,
    "mixed": lambda torch, p: p.extend([torch.ones(2), 3, "a", None, torch.nn.Linear(1, 1), torch.ones(2, 3)]),
    "last": lambda torch, p: p[-1].shape,
    "too far": lambda torch, p: p[5],
    "slice": lambda torch, p: p[1:],
    "set": lambda torch, p: p.__setitem__(0, torch.ones(4)),
    "set too far": lambda torch, p: p.__setitem__(7, torch.ones(4)),
    "set number": lambda torch, p: p.__setitem__(0, 3),
    "iterate": lambda torch, p: [x.shape for x in p],
    "append": lambda torch, p: p.append(torch.ones(4)),
    "extend by tensor": lambda torch, p: p.extend(torch.ones(4)),
    "extend by number": lambda torch, p: p.extend(3),
    "extend by itself": lambda torch, p: p.extend(p),
    "add to itself": lambda torch, p: operator.iadd(p, [torch.ones(4)]),
    "add": lambda torch, p: p + [3],
    "call": lambda torch, p: p(3),
    "integers": lambda torch, p: p.append(torch.ones(2, dtype=torch.int64)),
    "state": lambda torch, p: list(p.state_dict()),
}


@pytest.mark.parametrize("operation", PARAMETER_LISTS)
def test_a_parameter_list_keeps_parameters_in_order(operation: str) -> None:
    def program(torch: Any) -> Any:
        values = torch.nn.ParameterList([_parameter(torch, 1), _parameter(torch, 2), _parameter(torch, 3)])
        return repr(PARAMETER_LISTS[operation](torch, values)), values, len(values), list(values._parameters)

    assert_same(program)


@pytest.mark.parametrize("values", [3, {"a": 1}, "ab", [[1, 2]], ()])
def test_a_parameter_list_is_made_of_an_iterable(values: Any) -> None:
    assert_same(lambda torch: torch.nn.ParameterList(values))


PARAMETER_DICTS = {
    "text": lambda torch, p: p,
    "mixed": lambda torch, p: p.update({"x": 3, "t": torch.ones(2), "n": None, "m": torch.nn.ReLU()}),
    "get": lambda torch, p: (p["a"].shape, p.get("a").shape, p.get("z"), p.get("z", 3), p.a.shape),
    "get absent": lambda torch, p: p["z"],
    "get number": lambda torch, p: p[3],
    "set": lambda torch, p: p.__setitem__("z", torch.ones(3)),
    "set method": lambda torch, p: p.__setitem__("keys", torch.ones(3)),
    "delete": lambda torch, p: p.__delitem__("a"),
    "delete absent": lambda torch, p: p.__delitem__("z"),
    "views": lambda torch, p: (len(p), list(p), list(reversed(p)), "a" in p, p.keys(), [k for k, _ in p.items()]),
    "values": lambda torch, p: [value.shape for value in p.values()],
    "copy": lambda torch, p: (p.copy(), p.copy()["a"] is p["a"]),
    "setdefault": lambda torch, p: (p.setdefault("a", 3).shape, p.setdefault("q", 3), p.setdefault("r")),
    "pop": lambda torch, p: p.pop("b").shape,
    "pop absent": lambda torch, p: p.pop("z"),
    "popitem": lambda torch, p: p.popitem()[0],
    "fromkeys": lambda torch, p: (p.fromkeys(["p", "q"], torch.ones(1)), p.fromkeys(["p"])),
    "update sorts": lambda torch, p: p.update({"z": torch.ones(1), "c": torch.ones(1)}),
    "update by pairs": lambda torch, p: p.update([("z", torch.ones(1)), ("c", torch.ones(1))]),
    "update by ordered": lambda torch, p: p.update(OrderedDict(z=torch.ones(1), c=torch.ones(1))),
    "update by number": lambda torch, p: p.update(3),
    "update by numbers": lambda torch, p: p.update([3]),
    "update by singles": lambda torch, p: p.update([[3]]),
    "or": lambda torch, p: p | torch.nn.ParameterDict({"c": torch.ones(1)}),
    "reflected or": lambda torch, p: list({"q": 3} | p),
    "or in place": lambda torch, p: operator.ior(p, torch.nn.ParameterDict({"c": torch.ones(1)})),
    "clear": lambda torch, p: p.clear(),
    "call": lambda torch, p: p(3),
    "state": lambda torch, p: list(p.state_dict()),
    "attributes": lambda torch, p: setattr(p, "note", 3),
}


@pytest.mark.parametrize("operation", PARAMETER_DICTS)
def test_a_parameter_dict_has_the_operations_of_dictionaries(operation: str) -> None:
    def program(torch: Any) -> Any:
        values = torch.nn.ParameterDict({"a": _parameter(torch, 1), "b": _parameter(torch, 2)})
        return repr(PARAMETER_DICTS[operation](torch, values)), values, list(values._parameters)

    assert_same(program)
