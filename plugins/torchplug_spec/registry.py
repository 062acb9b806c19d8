"""Every backend of this process by name: what is installed, what is usable, and the one instance of each.

Nothing is read or imported before a name is asked for. The functions below are those of the process's one `Registry`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from torchplug_spec import loading
from torchplug_spec.backend import Backend
from torchplug_spec.discovery import BUILT_IN, INSTALL_HINTS, Candidate, Catalogue, built_in, scan
from torchplug_spec.errors import BackendError, BackendNotFoundError
from torchplug_spec.extensions import Selection
from torchplug_spec.forking import Refusal, after_fork_in_child, disarm, refusal
from torchplug_spec.listing import absent, describe, extension_status, listed, refused
from torchplug_spec.ops import OpDeclaration
from torchplug_spec.settings import DEFAULT, DISABLED, default_name, default_plugins, disabled_names
from torchplug_spec.status import BackendStatus, ExtensionStatus
from torchplug_spec.validation import class_fault, suggestion

__all__ = [
    "OpConflict",
    "Registry",
    "default_name",
    "default_plugins",
    "disable",
    "enable",
    "enabled",
    "extension",
    "extensions",
    "get",
    "implicit_names",
    "kernels_for",
    "known_names",
    "listing",
    "names",
    "on_fork",
    "on_ops",
    "ops",
    "register",
    "set_num_threads",
    "status",
    "unregister",
]

_Offer = TypeVar("_Offer", bound="type[Backend] | Backend | Callable[[], Backend]")


class OpConflict(Exception):
    """What a listener of `on_ops` raises for an op that it cannot publish, and why."""

    def __init__(self, op: OpDeclaration, reason: str) -> None:
        super().__init__(reason)
        self.op = op
        self.reason = reason


class _Loaded(NamedTuple):
    backend: Backend
    candidate: Candidate


class Registry:
    """Backends by name, each loaded on first use and in isolation; safe to use from several threads."""

    def __init__(self) -> None:
        self._loaded: dict[str, _Loaded] = {}
        self._in_process: dict[str, Any] = {}
        self._forked: dict[str, Refusal] = {}
        self._fork_listeners: list[tuple[str, Callable[[Refusal], None]]] = []
        self._catalogue: Catalogue | None = None
        self._selection = Selection(self._plugins)
        self._op_listeners: list[Callable[[tuple[OpDeclaration, ...]], None]] = []
        self._announced: tuple[OpDeclaration, ...] = ()
        self._reset_locks()
        after_fork_in_child(self._after_fork)

    # ---- backends -------------------------------------------------------------------------------------------------

    def get(self, name: str, known_kernels: Collection[str] | None = None) -> Backend:
        """Returns the one instance of backend `name`, loading it on first use.

        A name with plugins after it, "numpy+numba", means that instance too: `kernels_for` gives the plugins' kernels.
        `known_kernels`: the names `@kernel` may carry; any other is refused.
        Raises: BackendNotFoundError, BackendUnavailableError or BackendContractError, all of them RuntimeErrors.
        """
        if not isinstance(name, str):
            raise TypeError(f"got {type(name).__name__} for the name of a backend, expected a string such as 'numpy'")
        name = name.partition("+")[0]
        if name in self._forked:
            self._forked[name]()
        loaded = self._loaded.get(name) or self._load(name)
        if known_kernels is not None:
            loading.check_kernels(loaded.candidate, loaded.backend, known_kernels)
        return loaded.backend

    def names(self) -> tuple[str, ...]:
        """Returns the names of all installed backends, usable or not, from metadata alone."""
        return tuple(sorted({*self._scanned().backends, *self._in_process}))

    def implicit_names(self) -> tuple[str, ...]:
        """Returns the backends that may be tried without the user having named them, from no metadata at all.

        These are torchplug's own engines and what this process registered or loaded already. A stranger's plugin, which
        may hang or crash, is loaded only when it is asked for by name.
        """
        return tuple(dict.fromkeys((*BUILT_IN, *self._in_process, *self._loaded)))

    def status(self, name: str) -> BackendStatus:
        """Returns whether backend `name` can be used here, after loading it, and plugins named after it, in this process."""
        base, *plugins = name.split("+")
        try:
            backend = self.get(base)
            with self._lock:
                for plugin in plugins:
                    self._selection.load(plugin)
            return describe(self._loaded[base].candidate, backend)._replace(name=name)
        except BackendNotFoundError as error:
            return absent(name, str(error))
        except BackendError as error:
            origin = self._candidate(base)
            return listed(origin, "unavailable", error.reason or str(error), error.remedy)._replace(name=name)

    def listing(self) -> tuple[BackendStatus, ...]:
        """Returns what metadata tells of every backend installed or known, loading none of them."""
        rows = (self._listed(name) for name in sorted({*self.names(), *INSTALL_HINTS}))
        return (*rows, *map(refused, self._refused("backend")))

    def register(self, backend: _Offer) -> _Offer:
        """Makes a backend written in this process known under its `name`, and returns it; usable as a class decorator.

        Takes a Backend subclass (built on first use), an instance, or a function that returns one (called now, for its
        name). Registering a name again replaces the backend. Raises BackendContractError.
        """
        offer: Any = backend
        if not isinstance(offer, type | Backend) and callable(offer):
            offer = loading.attempt(Candidate("registered", ""), "starting it", offer)
        kind = offer if isinstance(offer, type) else type(offer)
        candidate = Candidate(str(getattr(kind, "name", kind.__name__)), "")
        if candidate.name in BUILT_IN:
            raise loading.breach(candidate, "the name belongs to torchplug's own engine")
        if fault := class_fault(kind):
            raise loading.breach(candidate, fault)
        with self._lock:
            self._in_process[candidate.name] = offer
            self._loaded.pop(candidate.name, None)
        return backend

    def unregister(self, name: str) -> None:
        """Forgets a backend registered in this process; KeyError if there is none of that name."""
        with self._lock:
            del self._in_process[name]
            self._loaded.pop(name, None)

    # ---- plugins that extend backends of others -------------------------------------------------------------------

    def enable(self, name: str) -> None:
        """Selects the plugin `name`: backends first used from now on have its kernels, its ops are there at once.

        Raises BackendError, with nothing selected, when it cannot be used.
        """
        with self._lock:
            before = self._selection.switched()
            self._selection.enable(name)
            try:
                self._announce_ops()
            except BackendError:
                self._selection.restore(before)
                raise

    def disable(self, name: str) -> None:
        """Takes the plugin `name` out of the selection, even when TORCHPLUG_PLUGINS names it."""
        with self._lock:
            self._selection.disable(name)
            self._announce_ops()

    def enabled(self) -> tuple[str, ...]:
        """Returns the names of the selected plugins: those of TORCHPLUG_PLUGINS, then those enabled, in order."""
        with self._lock:
            return self._selection.enabled()

    def kernels_for(
        self, backend_name: str, known_kernels: Collection[str] | None = None
    ) -> dict[str, Callable[..., Any]]:
        """Returns kernel name -> function from the selected plugins, the one selected last winning.

        Raises: BackendError when a selected plugin is missing, broken, or brings a kernel not in `known_kernels`.
        """
        with self._lock:
            kernels = self._selection.kernels_for(backend_name, known_kernels)
            self._announce_ops()
            return kernels

    def set_num_threads(self, count: int) -> None:
        """Tells the plugins, those loaded now and later, how many threads a kernel may use."""
        with self._lock:
            self._selection.set_num_threads(count)

    def ops(self) -> tuple[OpDeclaration, ...]:
        """Returns the ops of the selected plugins, in the order of the selection."""
        with self._lock:
            self._announce_ops()
            return self._selection.ops()

    def on_ops(self, listener: Callable[[tuple[OpDeclaration, ...]], None]) -> None:
        """Has `listener` called with the ops of the selected plugins whenever they are others than before.

        It may raise OpConflict for one that it cannot publish; whoever selected the plugin gets a BackendContractError.
        """
        self._op_listeners.append(listener)

    def _announce_ops(self) -> None:
        found = self._selection.ops()
        if found == self._announced:
            return
        try:
            for listener in self._op_listeners:
                listener(found)
        except OpConflict as conflict:
            reason = f"it registers the op '{conflict.op.name}', but {conflict.reason}"
            raise loading.breach(self._selection.candidate_of(conflict.op), reason) from None
        self._announced = found

    def extensions(self) -> tuple[ExtensionStatus, ...]:
        """Returns what metadata tells of every plugin that extends others, loading none of them."""
        chosen = (*self.enabled(), *default_plugins())
        found = sorted(self._scanned().extensions.items())
        rows = (extension_status(candidate, name in chosen) for name, candidate in found)
        return (*rows, *(extension_status(candidate, False) for candidate in self._refused("plugin")))

    def extension(self, name: str) -> ExtensionStatus:
        """Returns whether the plugin `name` can be used here, after loading it in this process."""
        with self._lock:
            candidate = self._plugins().get(name, Candidate(name, "", kind="plugin"))
            chosen = name in (*self._selection.enabled(), *default_plugins())
            try:
                return extension_status(candidate, chosen, loaded=self._selection.load(name))
            except BackendError as error:
                return extension_status(candidate, chosen, error=error)

    # ---- forked children ------------------------------------------------------------------------------------------

    def on_fork(self, name: str, listener: Callable[[Refusal], None]) -> None:
        """Has `listener` called in each forked child if backend `name` is not `fork_safe`.

        It receives a function that raises, to put in the place of every kernel the caller keeps bound: the guard then
        costs nothing per op.
        """
        self._fork_listeners.append((name, listener))

    def _after_fork(self) -> None:
        self._reset_locks()
        unsafe = [name for name, loaded in self._loaded.items() if not loaded.backend.fork_safe]
        for name in unsafe:
            refuse = self._forked[name] = refusal(name)
            disarm(self._loaded.pop(name).backend, refuse)
            for owner, listener in self._fork_listeners:
                if owner == name:
                    listener(refuse)

    # ---- loading --------------------------------------------------------------------------------------------------

    def _reset_locks(self) -> None:
        # A thread that held one of these at a fork does not exist in the child and would never release it.
        self._lock = threading.RLock()
        self._name_locks: dict[str, threading.RLock] = {}
        self._loading: set[str] = set()

    def _load(self, name: str) -> _Loaded:
        candidate = self._find(name)
        with self._loading_of(candidate):
            if name not in self._loaded:
                offer = self._in_process.get(name)
                backend = loading.build_from_plugin(candidate) if offer is None else loading.build(candidate, offer)
                self._loaded[name] = _Loaded(backend, candidate)
            return self._loaded[name]

    @contextmanager
    def _loading_of(self, candidate: Candidate) -> Iterator[None]:
        # One lock per name: a plugin that hangs while it loads must not keep other threads from other backends.
        name = candidate.name
        with self._lock:
            lock = self._name_locks.setdefault(name, threading.RLock())
        with lock:
            if name in self._loading:
                raise loading.breach(candidate, "it asks the registry for itself while it loads")
            self._loading.add(name)
            try:
                yield
            finally:
                self._loading.discard(name)

    def _find(self, name: str) -> Candidate:
        """Returns where backend `name` comes from; raises when that is nowhere, or disabled."""
        candidate = self._candidate(name)
        if not candidate.value and name not in self._in_process:
            with self._lock:
                self._catalogue = None  # it may have been installed since the last look
            candidate = self._candidate(name)
            if not candidate.value:
                raise BackendNotFoundError(self._not_found(name))
        if name in disabled_names() and name not in self._in_process:
            raise loading.unavailable(candidate, f"{DISABLED} names it", f"take it out of {DISABLED}")
        return candidate

    def _not_found(self, name: str) -> str:
        asked = f" (asked for by {DEFAULT})" if name == default_name() else ""
        installed = ", ".join(self.names())
        if name in INSTALL_HINTS:
            return f"backend '{name}' is not installed{asked}; {INSTALL_HINTS[name]}; installed are {installed}"
        near = suggestion(name, {*self.names(), *INSTALL_HINTS})
        return f"no backend is named {name!r}{asked}{near}; installed are {installed}"

    def _candidate(self, name: str) -> Candidate:
        if name in BUILT_IN:
            return built_in(name)
        if name in self._in_process:
            return Candidate(name, "")
        return self._scanned().backends.get(name, Candidate(name, ""))

    def _listed(self, name: str) -> BackendStatus:
        if loaded := self._loaded.get(name):
            return describe(loaded.candidate, loaded.backend)
        candidate = self._candidate(name)
        if name in self._in_process:
            return listed(candidate, "installed")
        if not candidate.value:
            return absent(name, self._not_found(name))
        if name in disabled_names():
            return listed(candidate, "unavailable", f"{DISABLED} names it", f"take it out of {DISABLED}")
        return listed(candidate, "installed")

    def _plugins(self) -> dict[str, Candidate]:
        # A distribution that brings both a backend and kernels needs one entry point only.
        catalogue = self._scanned()
        strangers = {name: found for name, found in catalogue.backends.items() if name not in BUILT_IN}
        return {**strangers, **catalogue.extensions}

    def _refused(self, kind: str) -> tuple[Candidate, ...]:
        return tuple(candidate for candidate in self._scanned().refused if candidate.kind == kind)

    def _scanned(self) -> Catalogue:
        with self._lock:
            if self._catalogue is None:
                self._catalogue = scan()
            return self._catalogue


def known_names() -> dict[str, str]:
    """Returns name -> how to install it, for every backend known to exist, installed or not."""
    return dict(INSTALL_HINTS)


_registry = Registry()
get = _registry.get
names = _registry.names
status = _registry.status
listing = _registry.listing
implicit_names = _registry.implicit_names
register = _registry.register
unregister = _registry.unregister
enable = _registry.enable
disable = _registry.disable
enabled = _registry.enabled
kernels_for = _registry.kernels_for
set_num_threads = _registry.set_num_threads
ops = _registry.ops
on_ops = _registry.on_ops
extension = _registry.extension
extensions = _registry.extensions
on_fork = _registry.on_fork
