"""Turns a discovered plugin into a backend: import, hooks, checks, instance. Every failure is caught and explained."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

from torchplug_spec.backend import Backend
from torchplug_spec.discovery import INSTALL_HINTS, OWN, Candidate, with_version
from torchplug_spec.errors import BackendContractError, BackendError, BackendUnavailableError
from torchplug_spec.validation import class_fault, instance_fault, kernel_fault, marked_kernels, suggestion

if TYPE_CHECKING:
    import pluggy

__all__ = ["attempt", "breach", "build", "build_from_plugin", "check_kernels", "open_plugin", "unavailable"]

_E = TypeVar("_E", bound=BackendError)
_T = TypeVar("_T")


def open_plugin(candidate: Candidate) -> pluggy.PluginManager:
    """Imports a plugin and returns a pluggy manager that holds it alone.

    Raises: BackendUnavailableError when the import fails, however it fails; BackendContractError for wrong hooks.
    """
    if candidate.fault:
        raise unavailable(candidate, candidate.fault, candidate.remedy)
    module_name, _, attribute = candidate.value.partition(":")
    plugin: Any = attempt(candidate, "importing it", lambda: importlib.import_module(module_name))
    for part in attribute.split(".") if attribute else ():
        if not hasattr(plugin, part):
            raise breach(candidate, f"its entry point is '{candidate.value}', but there is no '{part}' there")
        plugin = getattr(plugin, part)
    if isinstance(plugin, type):
        raise breach(candidate, f"'{candidate.value}' is the class {plugin.__qualname__}, expected an instance of it")
    return _managed(candidate, plugin)


def build_from_plugin(candidate: Candidate) -> Backend:
    """Returns a new, checked instance of the backend a plugin registers under the candidate's name."""
    manager = open_plugin(candidate)
    offers: list[Any] = []
    attempt(candidate, "its hook register_backend", lambda: manager.hook.register_backend(register=offers.append))
    return build(candidate, _choose(candidate, offers))


def build(candidate: Candidate, offer: Any) -> Backend:
    """Returns a checked instance of what was registered: a Backend class, a function that makes one, or an instance."""
    if isinstance(offer, type):
        # Before the call: Python's own complaint about abstract methods names neither plugin nor version.
        _refuse_if(candidate, attempt(candidate, "checking it", lambda: class_fault(offer, candidate.name)))
    elif not isinstance(offer, Backend) and not callable(offer):
        raise breach(candidate, f"it registered {offer!r}, expected a subclass of torchplug_spec.Backend")
    backend = offer if isinstance(offer, Backend) else attempt(candidate, "starting it", offer)
    if not isinstance(backend, Backend):
        raise breach(candidate, f"its factory returned {backend!r}, expected a torchplug_spec.Backend")
    _refuse_if(candidate, attempt(candidate, "checking it", lambda: _fault(backend, candidate.name)))
    return backend


def check_kernels(candidate: Candidate, backend: Backend, known: Collection[str]) -> None:
    """Raises BackendContractError naming the first kernel of `backend` that is not among `known`."""
    _refuse_if(candidate, kernel_fault(marked_kernels(type(backend)), known))


def attempt(candidate: Candidate, doing: str, action: Callable[[], _T]) -> _T:
    """Returns what a stranger's code returns. Whatever it raises, SystemExit included, becomes one of our errors.

    Only Ctrl-C passes, and what is explained already.
    """
    try:
        return action()
    except (KeyboardInterrupt, BackendContractError):
        raise
    except BackendUnavailableError as error:
        raise unavailable(candidate, error.reason or str(error), _remedy(candidate, error)) from error
    except BaseException as error:
        raise unavailable(candidate, f"{doing} failed: {_sentence(error)}", _remedy(candidate, error)) from error


def unavailable(candidate: Candidate, reason: str, remedy: str = "") -> BackendUnavailableError:
    """Returns the error that says a plugin is installed but cannot be used here."""
    return _explained(BackendUnavailableError, candidate, "cannot be used here", reason, remedy)


def breach(candidate: Candidate, reason: str) -> BackendContractError:
    """Returns the error that says a plugin does not fulfil the contract."""
    own = candidate.distribution in ("", OWN)
    remedy = "see torchplug_spec.backend" if own else f"upgrade or uninstall {candidate.distribution}"
    return _explained(BackendContractError, candidate, "breaks the contract", reason, remedy)


def _explained(kind: type[_E], candidate: Candidate, verdict: str, reason: str, remedy: str) -> _E:
    origin = with_version(candidate).origin
    owner = f" ({origin})" if origin else ""
    tail = f"; {remedy}" if remedy and remedy not in reason else ""
    error = kind(f"{candidate.kind} '{candidate.name}'{owner} {verdict}: {reason}{tail}")
    error.reason, error.remedy = reason, remedy
    return error


def _refuse_if(candidate: Candidate, fault: str) -> None:
    if fault:
        raise breach(candidate, fault)


def _fault(backend: Backend, name: str) -> str:
    return class_fault(type(backend), name) or instance_fault(backend)


def _sentence(error: BaseException) -> str:
    first_line = next(iter(str(error).strip().splitlines()), "")
    text = first_line if len(first_line) <= 300 else first_line[:297] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _remedy(candidate: Candidate, error: BaseException) -> str:
    own = getattr(error, "remedy", "")
    if isinstance(own, str) and own:
        return own
    if candidate.name in INSTALL_HINTS and isinstance(error, ImportError):
        return INSTALL_HINTS[candidate.name]
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install the package that provides the module '{error.name}'"
    if isinstance(error, BackendUnavailableError) or candidate.distribution in ("", OWN):
        return ""
    return f"upgrade or uninstall {candidate.distribution}"


def _managed(candidate: Candidate, plugin: Any) -> pluggy.PluginManager:
    import pluggy

    from torchplug_spec import hookspecs

    manager = pluggy.PluginManager("torchplug")
    manager.add_hookspecs(hookspecs)

    def register() -> None:
        try:
            manager.register(plugin, name=candidate.name)
            _refuse_if(candidate, _hook_fault(candidate, manager, plugin))
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise breach(candidate, " ".join(str(error).split())) from error

    attempt(candidate, "reading its hooks", register)
    return manager


def _hook_fault(candidate: Candidate, manager: pluggy.PluginManager, plugin: Any) -> str:
    known = [name for name, caller in vars(manager.hook).items() if caller.spec is not None]
    implemented = [caller.name for caller in manager.get_hookcallers(plugin) or ()]
    for name in implemented:
        if name not in known:
            return f"unknown hook '{name}'{suggestion(name, known)}"
    return "" if implemented else f"'{candidate.value}' implements no hook; mark its functions with @hookimpl"


def _choose(candidate: Candidate, offers: list[Any]) -> Any:
    if not offers:
        raise breach(candidate, "it registers no backend; kernels and ops are selected with TORCHPLUG_PLUGINS instead")
    chosen = [offer for offer in offers if getattr(offer, "name", None) == candidate.name] or offers
    if len(chosen) > 1:
        raise breach(candidate, f"it registers {len(chosen)} backends for the name '{candidate.name}', expected one")
    return chosen[0]
