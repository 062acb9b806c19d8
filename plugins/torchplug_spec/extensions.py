"""Kernels and ops from plugins, for backends of others: nothing is used before the plugin is selected by name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from torchplug_spec.backend import in_place_of
from torchplug_spec.discovery import PLUGIN_HINTS, Candidate
from torchplug_spec.errors import BackendNotFoundError
from torchplug_spec.loading import attempt, breach, open_plugin
from torchplug_spec.ops import OpDeclaration, declaration_fault
from torchplug_spec.settings import SELECTED, default_threads, selected_names
from torchplug_spec.validation import kernel_fault, suggestion

__all__ = ["Extension", "Selection", "load_extension"]

Function = Callable[..., Any]


class Extension(NamedTuple):
    """What one loaded plugin brings: (backend, kernel) -> function, op declarations, and who hears of threads."""

    candidate: Candidate
    kernels: dict[tuple[str, str], Function]
    ops: tuple[OpDeclaration, ...]
    set_num_threads: Callable[[int], None]


class Selection:
    """The plugins a program uses, in the order it selected them; those in TORCHPLUG_PLUGINS come first."""

    def __init__(self, find: Callable[[], dict[str, Candidate]]) -> None:
        self._find = find
        self._switched: dict[str, bool] = {}
        self._loaded: dict[str, Extension] = {}
        self._threads: int | None = None

    def enable(self, name: str) -> None:
        """Selects the plugin `name`. Takes effect for backends first used afterwards.

        Raises: BackendNotFoundError when it is not installed, BackendError when it cannot be used.
        """
        self.load(name)
        self._switched.pop(name, None)  # to the end of the order
        self._switched[name] = True

    def disable(self, name: str) -> None:
        """Takes the plugin `name` out of the selection, whoever put it there."""
        self._switched[name] = False

    def switched(self) -> dict[str, bool]:
        """Returns what a program switched on and off, for `restore`."""
        return dict(self._switched)

    def restore(self, switched: dict[str, bool]) -> None:
        """Takes back what was switched since."""
        self._switched = switched

    def enabled(self) -> tuple[str, ...]:
        """Returns the selected plugins in order."""
        chosen = dict.fromkeys(name for name in selected_names() if name not in self._switched)
        return (*chosen, *(name for name, on in self._switched.items() if on))

    def load(self, name: str) -> Extension:
        """Returns what the plugin `name` brings, importing it on first use."""
        if name not in self._loaded:
            extension = load_extension(self._candidate(name))
            extension.set_num_threads(self._threads or default_threads())
            self._loaded[name] = extension
        return self._loaded[name]

    def kernels_for(self, backend_name: str, known_kernels: Collection[str] | None = None) -> dict[str, Function]:
        """Returns the kernels selected plugins bring for a backend; of two for one kernel, the one selected last.

        A backend's name may be followed by plugins to use beside the selected ones: "numpy+faster+fastest".
        """
        owner, *named = backend_name.split("+")
        merged: dict[str, Function] = {}
        for extension in map(self.load, [*(name for name in self.enabled() if name not in named), *named]):
            own = {kernel: function for (other, kernel), function in extension.kernels.items() if other == owner}
            if known_kernels is not None and (fault := kernel_fault(own, known_kernels)):
                raise breach(extension.candidate, fault)
            for kernel, function in own.items():
                merged[kernel] = in_place_of(merged[kernel], function) if kernel in merged else function
        return merged

    def set_num_threads(self, count: int) -> None:
        """Tells the plugins, those loaded now and later, how many threads a kernel may use."""
        self._threads = count
        for extension in self._loaded.values():
            extension.set_num_threads(count)

    def ops(self) -> tuple[OpDeclaration, ...]:
        """Returns the op declarations selected plugins bring, in order."""
        return tuple(op for name in self.enabled() for op in self.load(name).ops)

    def candidate_of(self, op: OpDeclaration) -> Candidate:
        """Returns where the plugin of an op comes from."""
        return self.load(op.plugin).candidate

    def _candidate(self, name: str) -> Candidate:
        installed = self._find()
        if name in installed:
            return installed[name]
        source = f", named in {SELECTED}" if name in selected_names() else ""
        offer = f"installed are {', '.join(sorted(installed))}" if installed else "none is installed"
        near = f"; {PLUGIN_HINTS[name]}" if name in PLUGIN_HINTS else suggestion(name, installed)
        raise BackendNotFoundError(f"no plugin named {name!r}{source}{near}; {offer}")


def load_extension(candidate: Candidate) -> Extension:
    """Imports a plugin and returns the kernels and ops it registers."""
    manager = open_plugin(candidate)
    kernels: dict[tuple[str, str], Function] = {}
    ops: list[OpDeclaration] = []

    def register_op(declaration: Any) -> None:
        if fault := declaration_fault(declaration):
            raise breach(candidate, fault)
        ops.append(declaration._replace(plugin=candidate.name))

    def register(backend: Any, kernel: Any, function: Any) -> None:
        if not (isinstance(backend, str) and isinstance(kernel, str) and callable(function)):
            got = f"({backend!r}, {kernel!r}, {function!r})"
            raise breach(candidate, f"it registers {got}, expected a backend's name, a kernel's name and a function")
        kernels[backend, kernel] = function

    attempt(candidate, "its hook register_kernels", lambda: manager.hook.register_kernels(register=register))
    attempt(candidate, "its hook register_ops", lambda: manager.hook.register_ops(register=register_op))

    def set_num_threads(count: int) -> None:
        attempt(candidate, "its hook set_num_threads", lambda: manager.hook.set_num_threads(count=count))

    return Extension(candidate, kernels, tuple(ops), set_num_threads)
