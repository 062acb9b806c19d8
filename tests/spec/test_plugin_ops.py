"""Ops of plugins in a program: functions and methods once the plugin is selected, held by the suite, gone when it is not."""

from __future__ import annotations

import json

import pytest
from plugin_folder import PluginFolder

PLUGIN = """
from torchplug_spec import OpDeclaration
from torchplug_spec.hookspecs import hookimpl

def log_cosh(input, scale=1.0):
    import torchplug
    if not isinstance(input, torchplug.Tensor):
        raise TypeError(f"log_cosh(): argument 'input' must be Tensor, not {{type(input).__name__}}")
    return (input * scale).cosh().log() {wrong}

def samples(make):
    from torchplug_conformance.sampling import Sample
    yield Sample(make(3, 4))
    yield Sample(make(5), scale=0.5)

def errors():
    from torchplug_conformance.sampling import Sample
    yield Sample("no tensor", error=(TypeError, "must be Tensor, not str"))

class Plugin:
    @hookimpl
    def register_ops(self, register):
        register(OpDeclaration({name!r}, log_cosh, samples, errors))

plugin = Plugin()
"""
SELECTED = {"TORCHPLUG_PLUGINS": "more-ops"}


@pytest.fixture
def folder(plugins: PluginFolder) -> PluginFolder:
    """A folder with a plugin that brings an op."""
    plugins.add("more-ops", PLUGIN.format(name="log_cosh", wrong=""), group="extensions")
    return plugins


def output(folder: PluginFolder, program: str, **environment: str) -> str:
    done = folder.run("-c", "import torchplug as torch\n" + program, **environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_an_installed_plugin_that_is_not_selected_brings_nothing(folder: PluginFolder) -> None:
    program = "print(hasattr(torch, 'log_cosh'), hasattr(torch.ones(1), 'log_cosh'))"
    assert output(folder, program) == "False False\n"
    assert folder.imported() == []


def test_a_selected_plugin_is_not_touched_by_importing_torchplug(folder: PluginFolder) -> None:
    output(folder, "from torchplug import nn, optim, vision; import torchplug.utils.data", **SELECTED)
    assert folder.imported() == []


@pytest.mark.parametrize("first", ["torch.log_cosh(torch.ones(1))", "torch.ones(1).log_cosh()"])
def test_the_environment_selects_ops(folder: PluginFolder, first: str) -> None:
    assert output(folder, f"print(round({first}.item(), 6))", **SELECTED) == "0.433781\n"


def test_an_op_is_a_function_a_method_and_has_gradients(folder: PluginFolder) -> None:
    program = (
        "from torchplug_spec import registry\n"
        "x = torch.tensor([0.5, -1.0], requires_grad=True)\n"
        "registry.enable('more-ops')\n"
        "(torch.log_cosh(x, scale=2.0) + x.log_cosh()).sum().backward()\n"
        "print(torch.allclose(x.grad, (2 * (2 * x).tanh() + x.tanh()).detach()))\n"
        "registry.disable('more-ops')\n"
        "print(hasattr(torch, 'log_cosh'), hasattr(x, 'log_cosh'))\n"
        "registry.enable('more-ops')\n"
        "print(torch.log_cosh is torch.Tensor.log_cosh)\n"
    )
    assert output(folder, program) == "True\nFalse False\nTrue\n"


@pytest.mark.parametrize("engine", ["numpy", "strict"])
def test_an_op_is_the_same_on_every_engine_and_can_be_compiled(folder: PluginFolder, engine: str) -> None:
    program = (
        f"torch.set_backend({engine!r})\n"
        "run = torch.compile(lambda x: torch.log_cosh(x))\n"
        "print([round(run(torch.full((1,), float(n))).item(), 5) for n in range(4)])\n"
    )
    assert output(folder, program, **SELECTED) == "[0.0, 0.43378, 1.325, 2.30933]\n"


def test_the_suite_holds_an_op_in_every_part(folder: PluginFolder) -> None:
    arguments = ("-m", "torchplug", "conformance", "strict", "--level", "3", "-k", "log_cosh", "--json", "report.json")
    done = folder.run(*arguments, **SELECTED)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((folder.path / "report.json").read_text())["parts"]
    assert {part: row["passed"] for part, row in parts.items()} == {
        "forward": 2, "dtype": 4, "aliasing": 2, "errors": 1, "gradient": 2, "replay": 2,
    }  # fmt: skip


def test_the_suite_finds_an_op_with_a_wrong_gradient(plugins: PluginFolder) -> None:
    wrong = "+ (input * input).detach()"
    plugins.add("more-ops", PLUGIN.format(name="log_cosh", wrong=wrong), group="extensions")
    done = plugins.run("-m", "torchplug", "conformance", "numpy", "-k", "gradient and log_cosh", **SELECTED)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "gradient-more-ops-log_cosh-float32-0: order 1: the rule gives" in done.stdout


@pytest.mark.parametrize("name", ["softmax", "nn", "vision", "backward", "float32"])
def test_a_name_that_torchplug_has_is_refused(plugins: PluginFolder, name: str) -> None:
    plugins.add("more-ops", PLUGIN.format(name=name, wrong=""), group="extensions")
    program = (
        "from torchplug_spec import BackendContractError, registry\n"
        f"before = torch.ones(2).{name if name == 'softmax' else 'sum'}\n"
        "try:\n    registry.enable('more-ops')\n"
        "except BackendContractError as error:\n    print(error)\n"
        "print(registry.enabled(), torch.ones(2).sum().item())\n"
    )
    said, after = output(plugins, program).splitlines()
    assert said.startswith("plugin 'more-ops' (dist-more-ops 1.2) breaks the contract: ")
    assert f"it registers the op '{name}', but torchplug has that name already" in said
    assert after == "() 2.0"


def test_of_two_plugins_with_one_name_the_second_is_refused(folder: PluginFolder) -> None:
    folder.add("others", PLUGIN.format(name="log_cosh", wrong=""), group="extensions")
    program = (
        "from torchplug_spec import BackendContractError, registry\n"
        "registry.enable('more-ops')\n"
        "try:\n    registry.enable('others')\n"
        "except BackendContractError as error:\n    print(error)\n"
        "print(registry.enabled(), round(torch.log_cosh(torch.ones(1)).item(), 5))\n"
    )
    said, after = output(folder, program).splitlines()
    assert "plugin 'others' (dist-others 1.2)" in said
    assert "it registers the op 'log_cosh', but plugin 'more-ops' has one of that name" in said
    assert after == "('more-ops',) 0.43378"


def test_a_broken_selected_plugin_does_not_hide_what_torchplug_has_not(plugins: PluginFolder) -> None:
    plugins.add("more-ops", "1 / 0", group="extensions")
    program = "print(hasattr(torch, 'log_cosh'))\ntry: torch.log_cosh\nexcept AttributeError as error: print(error)"
    no, said = output(plugins, program, **SELECTED).splitlines()
    assert no == "False"
    assert said.startswith(
        "module 'torchplug' has no attribute 'log_cosh' (plugin 'more-ops' (dist-more-ops 1.2) cannot"
    )


def test_the_listing_names_the_ops(folder: PluginFolder) -> None:
    done = folder.run("-m", "torchplug", "backends", "--check", "more-ops")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ops: log_cosh" in done.stdout
    plain = folder.run("-m", "torchplug", "backends", **SELECTED)
    assert "more-ops" in plain.stdout and ", selected" in plain.stdout


def test_an_op_may_be_a_function_alone(plugins: PluginFolder) -> None:
    source = PLUGIN.format(name="log_cosh", wrong="").replace("samples, errors)", "method=False)")
    plugins.add("more-ops", source, group="extensions")
    program = "print(callable(torch.log_cosh), hasattr(torch.Tensor, 'log_cosh'))"
    assert output(plugins, program, **SELECTED) == "True False\n"
