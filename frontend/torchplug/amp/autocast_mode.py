"""`torch.autocast`: a region in which every function computes in the type that suits it."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload

from torchplug._core.autocast_policies import DEFAULT_DTYPES
from torchplug._core.autocasting import change, state
from torchplug._core.tensor import Tensor
from torchplug.amp.switches import get_autocast_dtype, is_autocast_cache_enabled, is_autocast_enabled, type_of
from torchplug_spec import DType
from torchplug_spec import dtypes as dt

if TYPE_CHECKING:
    from typing import Self, TypeVar

    Decorated = TypeVar("Decorated", bound=Callable[..., Any])

__all__ = ["autocast", "autocast_decorator", "custom_bwd", "custom_fwd", "is_autocast_available"]


def is_autocast_available(device_type: str) -> bool:
    """Says whether a type of device ("cpu", "cuda", ...) has autocast."""
    return type_of("_is_autocast_available", device_type) in DEFAULT_DTYPES


class autocast:  # noqa: N801 -- PyTorch's name
    """Runs a block or a function in mixed precision: products and convolutions in `dtype`, what loses by it in float32.

    `device_type` says for tensors of which devices; `dtype` is float16 or bfloat16 (bfloat16 on "cpu" and float16 on "cuda"
    if None). `enabled=False` turns autocast off in the block. Casts of parameters are kept until the outermost block ends,
    unless `cache_enabled` is False. Meant for the forward pass and the loss; call `backward()` after the block.

    Raises ValueError for a device type that is no str, RuntimeError for one without autocast; warns and stays off for a dtype
    that is neither of the two, or "cuda" where no engine has a CUDA device. Source: https://docs.pytorch.org/docs/stable/amp.html
    """

    def __init__(
        self,
        device_type: str,
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        _check_text(device_type)
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        if not is_autocast_available(device_type):
            raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
        self.device = device_type
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        self._enabled = bool(enabled) and _usable(device_type, self.fast_dtype)
        self._outer: list[tuple[bool, DType, bool]] = []

    def __enter__(self) -> Self:
        kind = type_of("autocast", self.device)
        now = state()
        self._outer.append((kind in now.enabled, now.dtypes[kind], now.caching))
        change(
            enabled=now.enabled | {kind} if self._enabled else now.enabled - {kind},
            dtypes={**now.dtypes, kind: self.fast_dtype},
            nesting=now.nesting + 1,
            caching=self._cache_enabled,
        )
        return self

    def __exit__(self, *_: object) -> None:
        kind = type_of("autocast", self.device)
        enabled, dtype, caching = self._outer.pop()
        now = state()
        if now.nesting == 1:
            now.cache.clear()
        change(
            enabled=now.enabled | {kind} if enabled else now.enabled - {kind},
            dtypes={**now.dtypes, kind: dtype},
            nesting=now.nesting - 1,
            caching=caching,
        )

    def __call__(self, func: Decorated) -> Decorated:
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. Did you mean to use autocast as a context "
                "manager? For example:\n    with torch.autocast(device_type=...):\n        output = model(input)"
            )
        return autocast_decorator(self, func)


def _check_text(device_type: Any) -> None:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")


def _usable(device_type: str, dtype: Any) -> bool:
    """Says whether autocast can be on, warning where it cannot; PyTorch's error for a CUDA device without bfloat16."""
    if type_of("autocast", device_type) == "cuda":
        from torchplug import cuda

        if not cuda.is_available():
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=3)
            return False
        if dtype is dt.bfloat16 and not cuda.is_bf16_supported():
            raise RuntimeError("Current CUDA Device does not support bfloat16. Please switch dtype to float16.")
        return True
    if dtype in (dt.bfloat16, dt.float16):
        return True
    name = device_type.upper()
    warnings.warn(
        f"In {name} autocast, but the target dtype is not supported. Disabling autocast.\n{name} Autocast only supports dtypes of "
        "torch.bfloat16, torch.float16 currently.",
        stacklevel=3,
    )
    return False


def autocast_decorator(autocast_instance: autocast, func: Decorated) -> Decorated:
    """Returns a function that runs as in a block of `autocast_instance`."""

    @functools.wraps(func)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        # Calls may overlap (threads, recursion): each remembers by itself what it found.
        mode = copy.copy(autocast_instance)
        mode._outer = []
        with mode:
            return func(*args, **kwargs)

    return decorated  # type: ignore[return-value]  # the function it stands for


# ---- functions of one's own -----------------------------------------------------------------------------------------


@overload
def custom_fwd(fwd: Decorated, *, device_type: str, cast_inputs: DType | None = ...) -> Decorated: ...
@overload
def custom_fwd(
    fwd: None = None, *, device_type: str, cast_inputs: DType | None = ...
) -> Callable[[Decorated], Decorated]: ...
def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: DType | None = None
) -> Callable[..., Any]:
    """Returns the `forward` of an autograd.Function made fit for autocast; `custom_bwd` then runs `backward` alike.

    With `cast_inputs`, where autocast is on, floating tensors among the arguments (float64 ones aside) are cast to that type
    and `forward` runs with autocast off; without, it runs as its surroundings.
    """
    _check_text(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        on = is_autocast_enabled(device_type)
        ctx._dtype = get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if cast_inputs is None or not on:
            return fwd(ctx, *args, **kwargs)
        kind = type_of("custom_fwd", device_type)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast(args, kind, cast_inputs), **_cast(kwargs, kind, cast_inputs))

    return forward


@overload
def custom_bwd(bwd: Decorated, *, device_type: str) -> Decorated: ...
@overload
def custom_bwd(bwd: None = None, *, device_type: str) -> Callable[[Decorated], Decorated]: ...
def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Callable[..., Any]:
    """Returns the `backward` of an autograd.Function that runs with autocast as it was in `forward`, see `custom_fwd`."""
    _check_text(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *args, **kwargs)

    return backward


def _cast(value: Any, device_type: str, dtype: DType) -> Any:
    """Returns containers with their floating tensors of one type of device as `dtype`, float64 ones left alone."""
    if isinstance(value, Tensor):
        own = value._kind.dtype
        castable = own.is_floating_point and own is not dt.float64 and value._kind.device.type == device_type
        return value.to(dtype) if castable else value
    if isinstance(value, Mapping):
        return {_cast(key, device_type, dtype): _cast(item, device_type, dtype) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(item, device_type, dtype) for item in value)
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) and not hasattr(value, "__array__"):
        return (_cast(item, device_type, dtype) for item in value)
    return value
