"""Each hook, from a plugin that implements it to what the registry hands on."""

from __future__ import annotations

import pytest
from plugin_folder import PluginFolder, engine

from torchplug_spec import BackendContractError, BackendNotFoundError, BackendUnavailableError, OpDeclaration
from torchplug_spec.registry import OpConflict, Registry

FASTER = """
from torchplug_spec import OpDeclaration
from torchplug_spec.hookspecs import hookimpl

def double(x):
    return x + x

class Plugin:
    @hookimpl
    def register_kernels(self, register):
        register("numpy", {kernel!r}, double)
        register("jax", "conv2d", double)
        register("alpha", {kernel!r}, double)

    @hookimpl
    def set_num_threads(self, count):
        double.threads = count

    @hookimpl
    def register_ops(self, register):
        register(OpDeclaration("twice", double))

plugin = Plugin()
"""


@pytest.fixture
def faster(plugins: PluginFolder) -> PluginFolder:
    plugins.add("faster", FASTER.format(kernel="softmax"), group="extensions")
    return plugins


def test_hook_register_backend(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add("alpha")
    assert registry.get("alpha").name == "alpha"


def test_hook_register_kernels(faster: PluginFolder, registry: Registry) -> None:
    registry.enable("faster")
    kernels = registry.kernels_for("numpy")
    assert {name: function(2) for name, function in kernels.items()} == {"softmax": 4}
    assert set(registry.kernels_for("jax")) == {"conv2d"}
    assert registry.kernels_for("strict") == {}


def test_hook_register_ops(faster: PluginFolder, registry: Registry) -> None:
    registry.enable("faster")
    (op,) = registry.ops()
    assert (op.name, op.plugin, op.function(4)) == ("twice", "faster", 8)
    registry.disable("faster")
    assert registry.ops() == ()


def test_whoever_listens_hears_of_ops_when_the_selection_changes(faster: PluginFolder, registry: Registry) -> None:
    heard: list[list[str]] = []
    registry.on_ops(lambda ops: heard.append([op.name for op in ops]))
    registry.kernels_for("numpy")
    assert heard == []
    registry.enable("faster")
    registry.kernels_for("numpy")
    registry.ops()
    registry.disable("faster")
    assert heard == [["twice"], []]


def test_ops_that_a_listener_cannot_publish_are_a_breach_and_select_nothing(
    faster: PluginFolder, registry: Registry
) -> None:
    def refuse(ops: tuple[OpDeclaration, ...]) -> None:
        if ops:
            raise OpConflict(ops[0], "that name is taken")

    registry.on_ops(refuse)
    expected = r"plugin 'faster' \(dist-faster 1.2\).*registers the op 'twice', but that name is taken"
    with pytest.raises(BackendContractError, match=expected):
        registry.enable("faster")
    assert registry.enabled() == ()
    assert registry.ops() == ()


@pytest.mark.parametrize(
    ("declaration", "words"),
    [
        ("'twice'", "it registers 'twice', expected a torchplug_spec.OpDeclaration"),
        ("OpDeclaration('two words', double)", "an op of the name 'two words', expected one that Python takes"),
        ("OpDeclaration('_hidden', double)", "does not begin with '_'"),
        ("OpDeclaration('twice', 3)", "the function of its op 'twice' is 3, expected something to call"),
        (
            "OpDeclaration('twice', double, samples=[])",
            r"the samples of its op 'twice' is \[\], expected something to call",
        ),
        (
            "OpDeclaration('twice', double, dtypes=('float32',))",
            r"the dtypes of its op 'twice' are \('float32',\), expected",
        ),
    ],
)
def test_an_op_of_the_wrong_form_is_refused(
    plugins: PluginFolder, registry: Registry, declaration: str, words: str
) -> None:
    source = FASTER.format(kernel="softmax").replace('OpDeclaration("twice", double)', declaration)
    plugins.add("faster", source, group="extensions")
    with pytest.raises(BackendContractError, match=words):
        registry.enable("faster")
    assert registry.enabled() == ()


def test_hook_set_num_threads(faster: PluginFolder, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    registry.enable("faster")
    double = registry.kernels_for("numpy")["softmax"]
    assert vars(double)["threads"] == 3
    registry.set_num_threads(2)
    assert vars(double)["threads"] == 2


def test_a_plugin_that_loads_later_is_told_the_number_of_threads_too(faster: PluginFolder, registry: Registry) -> None:
    registry.set_num_threads(5)
    assert vars(registry.kernels_for("numpy+faster")["softmax"])["threads"] == 5


def test_a_module_can_be_the_plugin(plugins: PluginFolder, registry: Registry) -> None:
    source = engine("alpha").partition("class Plugin")[0]
    plugins.add("alpha", source + "@hookimpl\ndef register_backend(register):\n    register(Engine)\nimport sys\n")
    entry = plugins.path / "dist_alpha-1.2.dist-info" / "entry_points.txt"
    entry.write_text("[torchplug.backends]\nalpha = module_dist_alpha\n")
    assert registry.get("alpha").name == "alpha"


def test_an_installed_plugin_that_nobody_selected_is_neither_used_nor_imported(
    faster: PluginFolder, registry: Registry
) -> None:
    assert registry.kernels_for("numpy") == {}
    assert registry.ops() == ()
    (found,) = (row for row in registry.extensions() if row.name == "faster")
    assert (found.state, found.selected) == ("installed", False)
    assert faster.imported() == []


def test_a_plugin_of_kernels_is_no_backend(faster: PluginFolder, registry: Registry) -> None:
    assert "faster" not in registry.names()


def test_the_environment_selects_plugins(
    faster: PluginFolder, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHPLUG_PLUGINS", "faster")
    assert registry.enabled() == ("faster",)
    assert set(registry.kernels_for("numpy")) == {"softmax"}


def test_a_program_can_take_back_what_the_environment_selects(
    faster: PluginFolder, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHPLUG_PLUGINS", "faster")
    registry.disable("faster")
    assert registry.kernels_for("numpy") == {}


def test_of_two_plugins_for_one_kernel_the_one_selected_last_is_used(faster: PluginFolder, registry: Registry) -> None:
    source = FASTER.format(kernel="softmax").replace("x + x", "10 * x")
    faster.add("fastest", source, group="extensions")
    registry.enable("fastest")
    registry.enable("faster")
    assert registry.kernels_for("numpy")["softmax"](2) == 4
    registry.enable("fastest")
    assert registry.kernels_for("numpy")["softmax"](2) == 20


PARTIAL = FASTER.replace("def double(x):", "@kernel({kernel!r}, partial=True)\ndef double(x):").replace(
    "return x + x", "return 10 * x if x > 5 else NotImplemented"
)


def test_a_partial_kernel_leaves_calls_to_the_plugin_selected_before(faster: PluginFolder, registry: Registry) -> None:
    source = "from torchplug_spec import kernel" + PARTIAL.format(kernel="softmax")
    faster.add("choosy", source, group="extensions")
    registry.enable("faster")
    registry.enable("choosy")
    softmax = registry.kernels_for("numpy")["softmax"]
    assert (softmax(3), softmax(6)) == (6, 60)
    registry.enable("faster")
    assert registry.kernels_for("numpy")["softmax"](6) == 12


def test_plugins_named_after_a_backend_are_used_beside_the_selected_ones_and_for_it_alone(
    faster: PluginFolder, registry: Registry
) -> None:
    source = FASTER.format(kernel="gelu").replace("x + x", "10 * x")
    faster.add("fastest", source, group="extensions")
    registry.enable("fastest")
    assert {name: function(2) for name, function in registry.kernels_for("numpy").items()} == {"gelu": 20}
    both = registry.kernels_for("numpy+faster")
    assert {name: function(2) for name, function in both.items()} == {"gelu": 20, "softmax": 4}
    assert registry.enabled() == ("fastest",)


def test_a_backend_with_plugins_named_after_it_is_that_backend(faster: PluginFolder, registry: Registry) -> None:
    faster.add("alpha")
    assert registry.get("alpha+faster") is registry.get("alpha")
    status = registry.status("alpha+faster")
    assert (status.name, status.state, status.distribution) == ("alpha+faster", "available", "dist-alpha")
    missing = registry.status("alpha+fastr")
    assert (missing.name, missing.state) == ("alpha+fastr", "absent")
    assert "no plugin named 'fastr' (did you mean 'faster'?)" in missing.reason
    assert "alpha+faster" not in registry.names()


def test_a_plugin_with_a_backend_may_bring_kernels_for_another(plugins: PluginFolder, registry: Registry) -> None:
    hook = "class Plugin:\n    @hookimpl\n    def register_kernels(self, register):\n"
    source = engine("alpha").replace("class Plugin:\n", hook + "        register('numpy', 'softmax', len)\n\n", 1)
    plugins.add("alpha", source)
    registry.get("alpha")
    assert registry.kernels_for("numpy") == {}
    registry.enable("alpha")
    assert registry.kernels_for("numpy") == {"softmax": len}


def test_an_unknown_kernel_of_a_plugin_is_refused(faster: PluginFolder, registry: Registry) -> None:
    registry.enable("faster")
    with pytest.raises(BackendContractError, match=r"plugin 'faster' \(dist-faster 1.2\).*unknown kernel 'softmax'"):
        registry.kernels_for("numpy", known_kernels={"conv2d"})


def test_a_selected_plugin_that_is_not_installed_is_an_error(
    faster: PluginFolder, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHPLUG_PLUGINS", "fasster")
    expected = (
        r"no plugin named 'fasster', named in TORCHPLUG_PLUGINS \(did you mean 'faster'\?\); installed are .*\bfaster\b"
    )
    with pytest.raises(BackendNotFoundError, match=expected):
        registry.kernels_for("numpy")


def test_a_plugin_of_ours_that_is_not_installed_is_told_how_to_get(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry._selection, "_find", dict)
    with pytest.raises(BackendNotFoundError, match="no plugin named 'numba'; pip install torchplug-numba; none is"):
        registry.enable("numba")


def test_a_selected_plugin_that_is_broken_is_an_error(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add("faster", "import a_module_that_is_not_there", group="extensions")
    with pytest.raises(BackendUnavailableError, match="plugin 'faster' .*No module named 'a_module_that_is_not_there'"):
        registry.enable("faster")
    assert registry.enabled() == ()
    assert registry.extension("faster").state == "unavailable"


def test_kernels_of_the_wrong_form_are_refused(plugins: PluginFolder, registry: Registry) -> None:
    plugins.add("faster", FASTER.format(kernel=3), group="extensions")
    with pytest.raises(BackendContractError, match="expected a backend's name, a kernel's name and a function"):
        registry.enable("faster")


def test_the_status_of_a_loaded_plugin_lists_what_it_brings(faster: PluginFolder, registry: Registry) -> None:
    status = registry.extension("faster")
    kernels = ("alpha:softmax", "jax:conv2d", "numpy:softmax")
    assert (status.state, status.kernels, status.ops) == ("available", kernels, ("twice",))
