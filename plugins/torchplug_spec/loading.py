"""Turns a discovered plugin into a backend: import, hooks, checks, instance. Every failure is caught and explained."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

from torchplug_spec.backend import API_VERSION, Backend
from torchplug_spec.discovery import INSTALL_HINTS, Candidate, with_version
from torchplug_spec.errors import BackendContractError, BackendError, BackendUnavailableError
from torchplug_spec.validation import class_fault, kernel_fault, marked_kernels, suggestion

if TYPE_CHECKING:
    import pluggy

__all__ = ["Kernels", "build", "build_from_plugin", "check_kernels", "collect_kernels", "collect_ops", "open_plugin"]

Factory = Callable[[], Backend]
Kernels = dict[str, dict[str, Callable[..., Any]]]
_T = TypeVar("_T")


def open_plugin(candidate: Candidate) -> pluggy.PluginManager:
    """Imports a plugin and returns a manager that holds it alone.

    Raises: BackendUnavailableError when the import fails, in whatever way; BackendContractError when its hooks are wrong.
    """
    if candidate.fault:
        raise unavailable(candidate, candidate.fault, candidate.remedy)
    module_name, _, attribute = candidate.value.partition(":")
    plugin: Any = _attempt(candidate, "importing it", lambda: importlib.import_module(module_name))
    for part in attribute.split(".") if attribute else ():
        if not hasattr(plugin, part):
            raise breach(candidate, f"its entry point names '{candidate.value}', but there is no '{part}' there")
        plugin = getattr(plugin, part)
    return _managed(candidate, plugin)


def build_from_plugin(candidate: Candidate) -> Backend:
    """Returns a new, checked instance of the backend a plugin registers under the candidate's name."""
    manager = open_plugin(candidate)
    offers: list[Any] = []
    _attempt(candidate, "its hook register_backend", lambda: manager.hook.register_backend(register=offers.append))
    return build(candidate, _choose(candidate, offers))


def build(candidate: Candidate, offer: Any) -> Backend:
    """Returns a checked instance from what was registered: a Backend class, a function that returns one, or an instance."""
    if isinstance(offer, type):
        _refuse_if(candidate, class_fault(offer, candidate.name))
    elif not isinstance(offer, Backend) and not callable(offer):
        raise breach(candidate, f"it registered {offer!r}, expected a subclass of torchplug_spec.Backend")
    backend = offer if isinstance(offer, Backend) else _attempt(candidate, "starting it", offer)
    if not isinstance(backend, Backend):
        raise breach(candidate, f"its factory returned {type(backend).__name__}, expected a torchplug_spec.Backend")
    if not isinstance(offer, type):
        _refuse_if(candidate, class_fault(type(backend), candidate.name))
    return backend


def check_kernels(candidate: Candidate, backend: Backend, known: Collection[str]) -> None:
    """Raises BackendContractError naming the first kernel of `backend` that is not among `known`."""
    _refuse_if(candidate, kernel_fault(marked_kernels(type(backend)), known))


def collect_kernels(candidate: Candidate, manager: pluggy.PluginManager) -> Kernels:
    """Returns backend name -> kernel name -> function, as a plugin's register_kernels gives them."""
    found: Kernels = {}

    def register(backend: str, kernel: str, function: Callable[..., Any]) -> None:
        if not isinstance(backend, str) or not isinstance(kernel, str) or not callable(function):
            got = f"({backend!r}, {kernel!r}, {function!r})"
            raise TypeError(f"register got {got}, expected a backend name, a kernel name and a function")
        found.setdefault(backend, {})[kernel] = function

    _attempt(candidate, "its hook register_kernels", lambda: manager.hook.register_kernels(register=register))
    return found


def collect_ops(candidate: Candidate, manager: pluggy.PluginManager) -> tuple[Any, ...]:
    """Returns the op declarations a plugin's register_ops gives."""
    found: list[Any] = []
    _attempt(candidate, "its hook register_ops", lambda: manager.hook.register_ops(register=found.append))
    return tuple(found)


def unavailable(candidate: Candidate, reason: str, remedy: str = "") -> BackendUnavailableError:
    """Returns the error that says a plugin is installed but cannot be used here."""
    return _explained(BackendUnavailableError, candidate, "cannot be used here", reason, remedy)


def breach(candidate: Candidate, reason: str) -> BackendContractError:
    """Returns the error that says a plugin does not fulfil the contract."""
    remedy = f"install a version of {candidate.distribution} made for version {API_VERSION} of the contract, or uninstall it"
    if not candidate.distribution:
        remedy = "see torchplug_spec.backend for the contract"
    return _explained(BackendContractError, candidate, "breaks the contract", reason, remedy)


def _explained(kind: type[_T], candidate: Candidate, verdict: str, reason: str, remedy: str) -> _T:
    origin = with_version(candidate).origin
    owner = f" ({origin})" if origin else ""
    tail = f"; {remedy}" if remedy and remedy not in reason else ""
    error = kind(f"backend '{candidate.name}'{owner} {verdict}: {reason}{tail}")
    if isinstance(error, BackendError):
        error.reason, error.remedy = reason, remedy
    return error


def _refuse_if(candidate: Candidate, fault: str) -> None:
    if fault:
        raise breach(candidate, fault)


def _attempt(candidate: Candidate, doing: str, action: Callable[[], _T]) -> _T:
    """Runs a stranger's code. Whatever it raises, SystemExit included, becomes one of ours; only Ctrl-C passes."""
    try:
        return action()
    except KeyboardInterrupt:
        raise
    except BackendUnavailableError as error:
        raise unavailable(candidate, str(error), _remedy(candidate, error)) from error
    except ImportError as error:
        raise unavailable(candidate, f"{doing} failed: {_sentence(error)}", _remedy(candidate, error)) from error
    except BaseException as error:
        raise unavailable(candidate, f"{doing} failed: {_sentence(error)}", _remedy(candidate, error)) from error


def _sentence(error: BaseException) -> str:
    first_line = next(iter(str(error).strip().splitlines()), "")
    text = first_line if len(first_line) <= 300 else first_line[:297] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _remedy(candidate: Candidate, error: BaseException) -> str:
    own = getattr(error, "remedy", "")
    if isinstance(own, str) and own:
        return own
    if candidate.name in INSTALL_HINTS:
        return INSTALL_HINTS[candidate.name]
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install the package that provides the module '{error.name}'"
    return f"upgrade or uninstall {candidate.distribution}" if candidate.distribution else ""


def _managed(candidate: Candidate, plugin: Any) -> pluggy.PluginManager:
    import pluggy

    from torchplug_spec import hookspecs

    manager = pluggy.PluginManager("torchplug")
    manager.add_hookspecs(hookspecs)
    if isinstance(plugin, type):
        raise breach(candidate, f"'{candidate.value}' is the class {plugin.__qualname__}, expected an instance of it")
    try:
        _attempt(candidate, "reading its hooks", lambda: manager.register(plugin, name=candidate.name))
        _refuse_unknown_hooks(candidate, manager, plugin)
    except pluggy.PluginValidationError as error:
        raise breach(candidate, _sentence(error)) from error
    return manager


def _refuse_unknown_hooks(candidate: Candidate, manager: pluggy.PluginManager, plugin: Any) -> None:
    known = [name for name in vars(manager.hook) if getattr(getattr(manager.hook, name), "spec", None) is not None]
    hooks = [caller.name for caller in manager.get_hookcallers(plugin) or ()]
    for name in hooks:
        _refuse_if(candidate, "" if name in known else f"unknown hook '{name}'{suggestion(name, known)}")
    manager.check_pending()
    if not hooks:
        raise breach(candidate, f"'{candidate.value}' implements no hook; mark register_backend with @hookimpl")


def _choose(candidate: Candidate, offers: list[Any]) -> Any:
    named = [offer for offer in offers if getattr(offer, "name", None) == candidate.name]
    chosen = named or offers
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        raise breach(candidate, "it registers no backend; if it brings kernels or ops, select it in TORCHPLUG_PLUGINS")
    raise breach(candidate, f"it registers {len(chosen)} backends under the name '{candidate.name}', expected one")
