"""`as_torch()`: the names of PyTorch and torchvision mean torchplug's own modules, and only as long as they should."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import sys
from types import ModuleType

import pytest

import torchplug

NAMES = [
    "torch", "torch.nn", "torch.nn.functional", "torch.nn.modules.linear", "torch.optim", "torch.optim.lr_scheduler",
    "torch.autograd", "torch.utils", "torch.utils.data", "torch.utils.data.dataset", "torch.utils.data.dataloader",
    "torch.utils.data._utils.collate", "torch.utils.data.distributed", "torchvision", "torchvision.transforms",
    "torchvision.transforms.functional", "torchvision.transforms.transforms", "torchvision.datasets",
    "torchvision.datasets.mnist", "torchvision.utils",
]  # fmt: skip


def real(name: str) -> str:
    return (
        name.replace("torchvision", "torchplug.vision")
        if name.startswith("torchv")
        else name.replace("torch", "torchplug", 1)
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_torchplugs_own_module(name: str) -> None:
    with torchplug.as_torch():
        module = importlib.import_module(name)
        assert module is importlib.import_module(real(name))
        assert module.__name__ == real(name)
        assert module.__spec__ is not None and module.__spec__.name == real(name)
        found = importlib.util.find_spec(name)
        assert found is not None


def test_statements_of_every_form_get_torchplug() -> None:
    with torchplug.as_torch() as given:
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        import torchvision
        from torch import optim
        from torch.utils.data import DataLoader
        from torchvision import datasets, transforms

        assert torch is torchplug is given
        assert nn is torchplug.nn and F is torchplug.nn.functional and optim is torchplug.optim
        assert torch.utils.data.DataLoader is DataLoader is torchplug.utils.data.DataLoader
        assert torchvision.transforms is transforms and datasets.MNIST is torchvision.datasets.MNIST


def test_what_torchplug_lacks_is_not_found() -> None:
    with torchplug.as_torch():
        with pytest.raises(ModuleNotFoundError, match=r"No module named 'torch\.no_such_part'"):
            importlib.import_module("torch.no_such_part")
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("torch.nn.no_such_part")
        with pytest.raises(ImportError):
            exec("from torch import no_such_name")
        assert importlib.import_module("json").__name__ == "json"


def test_the_names_go_back_to_whoever_had_them() -> None:
    others = {
        "torch": ModuleType("torch"),
        "torch.nn": ModuleType("torch.nn"),
        "torchvision": ModuleType("torchvision"),
    }
    before = {
        name: sys.modules[name] for name in list(sys.modules) if name.partition(".")[0] in ("torch", "torchvision")
    }
    finders = list(sys.meta_path)
    try:
        for name in before:
            del sys.modules[name]
        sys.modules.update(others)
        with torchplug.as_torch():
            assert importlib.import_module("torch.nn") is torchplug.nn
            importlib.import_module("torchvision.transforms")
        assert {name: sys.modules[name] for name in others} == others
        assert "torchvision.transforms" not in sys.modules
        assert sys.meta_path == finders
    finally:
        for name in others:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def test_aliases_may_be_nested() -> None:
    outer = torchplug.as_torch()
    with torchplug.as_torch():
        pass
    assert importlib.import_module("torch") is torchplug
    outer.restore()
    outer.restore()
    assert sys.modules.get("torch") is not torchplug


def test_a_module_object_survives_pickling_under_both_names() -> None:
    with torchplug.as_torch():
        import torch

        layer = pickle.loads(pickle.dumps(torch.nn.Linear(2, 3)))
        assert type(layer) is torchplug.nn.Linear
        assert pickle.loads(b"ctorch.nn.modules.linear\nLinear\n.") is torchplug.nn.Linear
    assert type(pickle.loads(pickle.dumps(layer))) is torchplug.nn.Linear
