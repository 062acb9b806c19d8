"""Module, the base class of everything that has parameters: what its attributes mean, calling, printing, copying."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torchplug._core.tensor import Parameter, Tensor
from torchplug.nn.modules import hooks, moving, state, walking
from torchplug.nn.modules.changes import attribute_version, count_change
from torchplug.nn.modules.hooks import (
    GLOBAL,
    HookedCall,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torchplug.nn.modules.state import _IncompatibleKeys
from torchplug.nn.parameter import Buffer

__all__ = [
    "Module", "attribute_version", "register_module_backward_hook", "register_module_buffer_registration_hook",
    "register_module_forward_hook", "register_module_forward_pre_hook", "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook", "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]  # fmt: skip

if TYPE_CHECKING:
    from typing import ParamSpec, Protocol, TypeVar

    P = ParamSpec("P")
    R_co = TypeVar("R_co", covariant=True)

    class Forwards(Protocol[P, R_co]):
        """What has a forward: calling it takes and returns the same."""

        @property
        def forward(self) -> Callable[P, R_co]: ...


_IncompatibleKeys.__module__ = __name__
_ABSENT = object()


def _forward_unimplemented(self: Module, *input: Any) -> None:
    """Computes the output; every module with its own computation overrides it."""
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


_forward_unimplemented.__name__ = "forward"


class Module:
    """The base class of layers and models.

    Assigning a Parameter, a Buffer or another Module to an attribute registers it: it is then found by `parameters()`,
    `buffers()`, `modules()`, saved in `state_dict()`, and moved by `to()`. Subclasses call `super().__init__()` first
    and define `forward`.
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]
    _backward_pre_hooks: OrderedDict[int, Any]
    _backward_hooks: OrderedDict[int, Any]
    _is_full_backward_hook: bool | None
    _forward_hooks: OrderedDict[int, Any]
    _forward_hooks_with_kwargs: OrderedDict[int, Any]
    _forward_hooks_always_called: OrderedDict[int, Any]
    _forward_pre_hooks: OrderedDict[int, Any]
    _forward_pre_hooks_with_kwargs: OrderedDict[int, Any]
    _state_dict_hooks: OrderedDict[int, Any]
    _state_dict_pre_hooks: OrderedDict[int, Any]
    _load_state_dict_pre_hooks: OrderedDict[int, Any]
    _load_state_dict_post_hooks: OrderedDict[int, Any]

    dump_patches: bool = False
    _version: int = 1
    call_super_init: bool = False
    _compiled_call_impl: Callable[..., Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init and kwargs:
            name = f"{type(self).__name__}.__init__()"
            raise TypeError(f"{name} got an unexpected keyword argument '{next(iter(kwargs))}'")
        if not self.call_super_init and args:
            name = f"{type(self).__name__}.__init__()"
            raise TypeError(f"{name} takes 1 positional argument but {len(args) + 1} were given")
        # Past __setattr__, whose rules look into these dictionaries.
        self.__dict__.update(_fresh_attributes())
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    forward: Callable[..., Any] = _forward_unimplemented

    # ---- attributes --------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        registries = self.__dict__
        if "_parameters" in registries:
            found = registries["_parameters"].get(name, _ABSENT)
            if found is _ABSENT:
                found = registries["_modules"].get(name, _ABSENT)
                if found is _ABSENT:
                    found = registries["_buffers"].get(name, _ABSENT)
            if found is not _ABSENT:
                return found
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        registries = self.__dict__
        parameters = registries.get("_parameters")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            _remove_from(name, registries, self._buffers, self._modules, self._non_persistent_buffers_set)
            self.register_parameter(name, value)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_type_name(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, None)
        elif isinstance(value, Module):
            if parameters is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            _remove_from(name, registries, parameters, self._buffers, self._non_persistent_buffers_set)
            self._place_module(name, value)
        elif parameters is not None and name in self._modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_type_name(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            self._place_module(name, None)
        elif (
            parameters is not None and name in self._buffers or isinstance(value, Tensor) and isinstance(value, Buffer)
        ):
            self._set_buffer(name, value)
        else:
            if registries.get(name, _ABSENT) is not value:
                count_change()
            object.__setattr__(self, name, value)

    def _set_buffer(self, name: str, value: Any) -> None:
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"cannot assign '{_type_name(value)}' as buffer '{name}' (torch.nn.Buffer, torch.Tensor or None "
                "expected)"
            )
        if isinstance(value, Buffer):
            self.register_buffer(name, value, value.persistent)
            return
        for hook in GLOBAL.buffer_registration.values():
            value = _or_else(hook(self, name, value), value)
        if self._buffers[name] is not value:
            count_change()
        self._buffers[name] = value

    def __delattr__(self, name: str) -> None:
        for registry in (self._parameters, self._buffers, self._modules):
            if name in registry:
                del registry[name]
                self._non_persistent_buffers_set.discard(name)
                break
        else:
            object.__delattr__(self, name)
        count_change()

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers}
        return sorted(name for name in names if not name[0].isdigit())

    # ---- registering -------------------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Registers a parameter, or None for one that this module does not have (it is then not in the state_dict)."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{_type_name(param)}' object to parameter '{name}' (torch.nn.Parameter or None "
                    "required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                    f"explicitly. To express '{name}' as a function of another Tensor, compute the value in the "
                    "forward() method."
                )
            for hook in GLOBAL.parameter_registration.values():
                param = _or_else(hook(self, name, param), param)
        self._parameters[name] = param
        count_change()

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Registers a tensor that is state but not trained; part of the state_dict unless `persistent` is False."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{_type_name(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        for hook in GLOBAL.buffer_registration.values():
            tensor = _or_else(hook(self, name, tensor), tensor)
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)
        count_change()

    def add_module(self, name: str, module: Module | None) -> None:
        """Registers a submodule under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{_type_name(module)} is not a Module subclass")
        self._check_name("module", name, self._modules)
        self._place_module(name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Another name of add_module."""
        self.add_module(name, module)

    def _place_module(self, name: str, module: Module | None) -> None:
        for hook in GLOBAL.module_registration.values():
            module = _or_else(hook(self, name, module), module)
        self._modules[name] = module
        count_change()

    def _check_name(self, what: str, name: Any, registry: dict[str, Any]) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {_type_name(name)}")
        if hasattr(self, name) and name not in registry:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain "."' + (f", got: {name}" if what == "module" else ""))
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')

    # ---- calling -----------------------------------------------------------------------------------------------------

    if TYPE_CHECKING:

        def __call__(self: Forwards[P, R_co], *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    else:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            if self._compiled_call_impl is not None:
                return self._compiled_call_impl(*args, **kwargs)
            return self._call_impl(*args, **kwargs)

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        """Runs forward with all hooks."""
        if not (
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
            or GLOBAL.active
        ):
            return self.forward(*args, **kwargs)
        return HookedCall(self, args, kwargs).run()

    __torchplug_version__ = staticmethod(attribute_version)

    def __torchplug_compile__(self, compiler: Callable[..., Any], **options: Any) -> Any:
        from torchplug.nn.modules.optimized import OptimizedModule

        return OptimizedModule(self, compiler, **options)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compiles the call of this module, in place; arguments as in torch.compile."""
        from torchplug import _compile

        self._compiled_call_impl = _compile.compile(self._call_impl, *args, **kwargs)

    # ---- printing and copying ----------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """Returns what stands between the parentheses of the printed form, one line or several."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({extra})"
        body = [*lines, *children]
        return f"{self._get_name()}({_block(body)})"

    def __getstate__(self) -> dict[str, Any]:
        attributes = self.__dict__.copy()
        attributes.pop("_compiled_call_impl", None)
        return attributes

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Old pickles lack the registries that came later.
        self.__dict__.update({**_fresh_attributes(), **state})

    # ---- the rest of the interface, by subject -----------------------------------------------------------------------

    named_modules = walking.named_modules
    modules = walking.modules
    named_children = walking.named_children
    children = walking.children
    _named_members = walking.named_members
    named_parameters = walking.named_parameters
    parameters = walking.parameters
    named_buffers = walking.named_buffers
    buffers = walking.buffers
    get_submodule = walking.get_submodule
    set_submodule = walking.set_submodule
    get_parameter = walking.get_parameter
    get_buffer = walking.get_buffer

    _apply = moving.apply_to_tensors
    apply = moving.apply
    to = moving.to
    to_empty = moving.to_empty
    cpu = moving.cpu
    cuda = moving.cuda
    type = moving.type
    float = moving.float
    double = moving.double
    half = moving.half
    bfloat16 = moving.bfloat16
    train = moving.train
    eval = moving.eval
    requires_grad_ = moving.requires_grad_
    zero_grad = moving.zero_grad
    share_memory = moving.share_memory

    state_dict = state.state_dict
    _save_to_state_dict = state.save_to_state_dict
    load_state_dict = state.load_state_dict
    _load_from_state_dict = state.load_from_state_dict
    get_extra_state = state.get_extra_state
    set_extra_state = state.set_extra_state
    register_state_dict_pre_hook = state.register_state_dict_pre_hook
    register_state_dict_post_hook = state.register_state_dict_post_hook
    _register_state_dict_hook = state.register_old_state_dict_hook
    register_load_state_dict_pre_hook = state.register_load_state_dict_pre_hook
    _register_load_state_dict_pre_hook = state.register_old_load_state_dict_pre_hook
    register_load_state_dict_post_hook = state.register_load_state_dict_post_hook

    register_forward_pre_hook = hooks.register_forward_pre_hook
    register_forward_hook = hooks.register_forward_hook
    register_full_backward_pre_hook = hooks.register_full_backward_pre_hook
    register_full_backward_hook = hooks.register_full_backward_hook
    register_backward_hook = hooks.register_backward_hook


def _fresh_attributes() -> dict[str, Any]:
    return {
        "training": True,
        "_parameters": {},
        "_buffers": {},
        "_non_persistent_buffers_set": set(),
        "_backward_pre_hooks": OrderedDict(),
        "_backward_hooks": OrderedDict(),
        "_is_full_backward_hook": None,
        "_forward_hooks": OrderedDict(),
        "_forward_hooks_with_kwargs": OrderedDict(),
        "_forward_hooks_always_called": OrderedDict(),
        "_forward_pre_hooks": OrderedDict(),
        "_forward_pre_hooks_with_kwargs": OrderedDict(),
        "_state_dict_hooks": OrderedDict(),
        "_state_dict_pre_hooks": OrderedDict(),
        "_load_state_dict_pre_hooks": OrderedDict(),
        "_load_state_dict_post_hooks": OrderedDict(),
        "_modules": {},
    }


def _remove_from(name: str, *registries: Any) -> None:
    for registry in registries:
        if name in registry:
            registry.discard(name) if isinstance(registry, set) else registry.pop(name)


def _or_else(returned: Any, value: Any) -> Any:
    return value if returned is None else returned


def _type_name(value: Any) -> str:
    """Returns the type as PyTorch names it: "torch.FloatTensor", "float", "torch.nn.modules.linear.Linear"."""
    if isinstance(value, Tensor):
        return value.type()
    cls = type(value)
    if cls.__module__ in ("builtins", None):
        return cls.__qualname__
    root, dot, path = cls.__module__.partition(".")
    return f"{'torch' if root == 'torchplug' else root}{dot}{path}.{cls.__qualname__}"


def _indented(text: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *(f"  {line}" for line in rest)])


def _block(lines: list[str]) -> str:
    return "\n  " + "\n  ".join(lines) + "\n" if lines else ""
