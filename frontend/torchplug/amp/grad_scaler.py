"""`GradScaler`: losses are scaled so that small gradients survive float16, steps with infinite gradients are skipped."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from enum import Enum
from typing import Any, overload

from torchplug._core.device import Device
from torchplug._core.tensor import Tensor
from torchplug.autograd import no_grad
from torchplug.ops.comparison import isfinite, logical_not
from torchplug.ops.creation import full
from torchplug.ops.limits import maximum, where
from torchplug_spec import dtypes as dt

__all__ = ["GradScaler", "OptState"]


class OptState(Enum):
    """How far an optimizer has come since the last `update()`."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class _Round:
    """What one optimizer did since the last `update()`: its stage, and per device whether a gradient was not finite."""

    def __init__(self) -> None:
        self.stage = OptState.READY
        self.found_inf: dict[Device, Tensor] = {}


def _wide(scale: Tensor) -> Tensor:
    """Returns a scale as float64, so that results are rounded once, where the engine has that type."""
    return scale if scale._kind.engine.lacks(dt.float64) else scale.double()


class GradScaler:
    """Scales losses, unscales gradients and adapts the scale: `scaler.scale(loss).backward(); scaler.step(optimizer);
    scaler.update()`.

    The scale starts at `init_scale`; a round with gradients that are inf or NaN skips the step and multiplies it by
    `backoff_factor`, `growth_interval` good rounds in a row multiply it by `growth_factor`. With `enabled=False` every method
    passes through. Device "cuda" where no engine has one: warns, and is not enabled.
    Source: https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = device
        self._enabled = enabled
        if enabled and device == "cuda":
            from torchplug import cuda

            if not cuda.is_available():
                warnings.warn(
                    "torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2
                )
                self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale = init_scale
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._init_growth_tracker = 0
        # Both are made on the device of the first loss.
        self._scale: Tensor | None = None
        self._growth_tracker: Tensor | None = None
        self._rounds: dict[int, _Round] = {}

    # ---- one iteration ----------------------------------------------------------------------------------------------

    @overload
    def scale(self, outputs: Tensor) -> Tensor: ...
    @overload
    def scale(self, outputs: list[Tensor]) -> list[Tensor]: ...
    @overload
    def scale(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]: ...
    @overload
    def scale(self, outputs: Iterable[Tensor]) -> Iterable[Tensor]: ...
    def scale(self, outputs: Any) -> Any:
        """Returns a tensor, or the tensors of a (nested) iterable, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._make_scale(outputs.device)
            return outputs * self._checked("scale")[0].to(outputs.device)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients of an optimizer's parameters by the scale, noting whether one is not finite.

        Needed to look at gradients or clip them before `step`, which else does it itself. Once per `update()`.
        """
        if not self._enabled:
            return
        scale, _ = self._checked("unscale_")
        now = self._round_of(optimizer)
        if now.stage is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if now.stage is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        now.found_inf = self._divide(optimizer, _wide(scale).reciprocal().float())
        now.stage = OptState.UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Unscales the gradients unless that was done, and calls `optimizer.step(*args, **kwargs)` if all are finite.

        Returns what the optimizer returns, None for a step that was skipped. Closures are not supported.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        scale, _ = self._checked("step")
        now = self._round_of(optimizer)
        if now.stage is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            result = self._scaled_step(optimizer, now, scale, args, kwargs)
        else:
            if now.stage is OptState.READY:
                self.unscale_(optimizer)
            if not now.found_inf:
                raise AssertionError("No inf checks were recorded for this optimizer.")
            finite = not any(found.item() for found in now.found_inf.values())
            result = optimizer.step(*args, **kwargs) if finite else None
        now.stage = OptState.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Ends the iteration: adapts the scale to what the steps found, or sets it."""
        if not self._enabled:
            return
        scale, tracker = self._checked("update")
        if new_scale is None:
            found = [flag for now in self._rounds.values() for flag in now.found_inf.values()]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._adapt(scale, tracker, [flag.to(scale.device) for flag in found])
        elif isinstance(new_scale, Tensor):
            if new_scale.device.type != self._device or new_scale.numel() != 1 or new_scale.requires_grad:
                raise AssertionError(
                    "new_scale should be a float or a 1-element torch.cuda.FloatTensor or torch.FloatTensor with "
                    "requires_grad=False."
                )
            scale.copy_(new_scale)
        else:
            scale.fill_(float(new_scale))
        self._rounds = {}

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _make_scale(self, device: Device) -> None:
        self._scale = full((), float(self._init_scale), dtype=dt.float32, device=device)
        self._growth_tracker = full((), self._init_growth_tracker, dtype=dt.int32, device=device)

    def _checked(self, name: str) -> tuple[Tensor, Tensor]:
        """Returns scale and growth tracker; PyTorch's error where nothing was scaled yet."""
        for place, value in (("_scale", self._scale), ("_growth_tracker", self._growth_tracker)):
            if value is None:
                raise AssertionError(
                    f"Attempted {name} but {place} is None.  This may indicate your script did not use scaler.scale(loss or "
                    "outputs) earlier in the iteration."
                )
        return self._scale, self._growth_tracker  # type: ignore[return-value]  # just checked

    def _round_of(self, optimizer: Any) -> _Round:
        return self._rounds.setdefault(id(optimizer), _Round())

    def _divide(self, optimizer: Any, inverse: Tensor, float16: bool = False) -> dict[Device, Tensor]:
        """Multiplies all gradients by `inverse` in place; returns per device 1. where one was not finite, else 0."""
        found: dict[Device, Tensor] = {}
        factors: dict[Device, Tensor] = {}
        with no_grad():
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    gradient = parameter.grad
                    if gradient is None:
                        continue
                    if gradient.dtype is dt.float16 and not float16:
                        raise ValueError("Attempting to unscale FP16 gradients.")
                    device = gradient.device
                    if device not in factors:
                        factors[device] = inverse.to(device)
                        found[device] = full((), 0.0, dtype=dt.float32, device=device)
                    bad = logical_not(isfinite(gradient).all()).float()
                    found[device] = maximum(found[device], bad)
                    if gradient.dtype in (dt.float16, dt.bfloat16):
                        gradient.copy_(gradient.float() * factors[device])
                    else:
                        gradient.mul_(factors[device])
        return found

    def _scaled_step(self, optimizer: Any, now: _Round, scale: Tensor, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Calls the step of an optimizer that divides by `grad_scale` and heeds `found_inf` itself."""
        if now.stage is OptState.READY:
            now.found_inf = self._divide(optimizer, full((), 1.0, dtype=dt.float32, device=scale.device), float16=True)
        flags = list(now.found_inf.values())
        optimizer.grad_scale = None if now.stage is OptState.UNSCALED else scale
        optimizer.found_inf = sum(flags[1:], flags[0]) if flags else None
        try:
            return optimizer.step(*args, **kwargs)
        finally:
            del optimizer.grad_scale, optimizer.found_inf

    def _adapt(self, scale: Tensor, tracker: Tensor, found: list[Tensor]) -> None:
        """Shrinks the scale after a round that found inf or NaN, grows it after enough that did not."""
        with no_grad():
            bad = sum(found[1:], found[0]) > 0
            good_rounds = tracker + 1
            due = good_rounds == self._growth_interval
            grown = (_wide(scale) * self._growth_factor).float()
            grown = where(due & isfinite(grown), grown, scale)
            scale.copy_(where(bad, (_wide(scale) * self._backoff_factor).float(), grown))
            tracker.copy_(where(bad | due, 0, good_rounds))

    # ---- settings and state ------------------------------------------------------------------------------------------

    def get_scale(self) -> float:
        """Returns the scale as a Python number, 1.0 if not enabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def get_growth_factor(self) -> float:
        """Returns what the scale is multiplied by when it grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets what the scale is multiplied by when it grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """Returns what the scale is multiplied by after inf or NaN."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets what the scale is multiplied by after inf or NaN."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Returns how many good rounds in a row let the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets how many good rounds in a row let the scale grow."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Says whether the scaler does anything."""
        return self._enabled

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else int(self._growth_tracker.item())

    def state_dict(self) -> dict[str, Any]:
        """Returns scale, factors, interval and count of good rounds as plain numbers; {} if not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` returned; nothing if not enabled. Raises RuntimeError for an empty one."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None and self._growth_tracker is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        if self._enabled:
            if self._rounds:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after "
                    "scaler.update()."
                )
            kept.update(
                _init_scale=self.get_scale(),
                _init_growth_tracker=self._get_growth_tracker(),
                _scale=None,
                _growth_tracker=None,
            )
        return kept
