"""Instance normalization layers, plain and lazy."""

from __future__ import annotations

import warnings
from typing import Any

from torchplug._core.device import DeviceLike
from torchplug._core.tensor import Tensor
from torchplug.nn import functional as F
from torchplug.nn.modules.batchnorm import _check_dim, _LazyNormBase, _NormBase

__all__ = [
    "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
]  # fmt: skip


class _InstanceNorm(_NormBase):
    """Normalizes each channel of each sample by its own mean and variance; `dimensions` counts those of space."""

    dimensions: int

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: DeviceLike = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dim(input, self.dimensions + 1, self.dimensions + 2)

    def _normalize(self, input: Tensor) -> Tensor:
        of_instance = self.training or not self.track_running_stats
        momentum = self.momentum if self.momentum is not None else 0.0
        return F.instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, of_instance, momentum, self.eps
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        unbatched = input.dim() == self.dimensions + 1
        dim = 0 if unbatched else 1
        if input.size(dim) != self.num_features:
            self._complain_of_features(input, dim)
        return self._normalize(input.unsqueeze(0)).squeeze(0) if unbatched else self._normalize(input)

    def _complain_of_features(self, input: Tensor, dim: int) -> None:
        if self.affine:
            raise ValueError(
                f"expected input's size at dim={dim} to match num_features ({self.num_features}), but got: "
                f"{input.size(dim)}."
            )
        warnings.warn(
            f"input's size at dim={dim} does not match num_features. You can silence this warning by not passing in "
            "num_features, "
            "which is not used because affine=False", stacklevel=4)  # fmt: skip

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool, missing_keys: list,
        unexpected_keys: list, error_msgs: list,
    ) -> None:  # fmt: skip
        if local_metadata.get("version", None) is None and not self.track_running_stats:
            statistics = [prefix + name for name in ("running_mean", "running_var") if prefix + name in state_dict]
            if statistics:
                error_msgs.append(_unexpected_statistics(statistics, type(self).__name__))
                for key in statistics:
                    del state_dict[key]
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


def _unexpected_statistics(keys: list[str], layer: str) -> str:
    names = " and ".join(f'"{key}"' for key in keys)
    return (
        f"Unexpected running stats buffer(s) {names} for {layer} with track_running_stats=False. If state_dict is a "
        f"checkpoint saved before 0.4.0, this may be expected because {layer} does not track running stats by "
        "default since 0.4.0. Please remove these keys from state_dict. If the running stats are actually needed, "
        f"instead set track_running_stats=True in {layer} to enable them. See the documentation of {layer} for "
        "details."
    )


class InstanceNorm1d(_InstanceNorm):
    """(x - mean) / √(variance + eps) per sample and channel. Shape: (N, C, L) or (C, L).

    Source: Ulyanov et al. 2016.
    """

    dimensions = 1


class InstanceNorm2d(_InstanceNorm):
    """InstanceNorm1d for images. Shape: (N, C, H, W) or (C, H, W)."""

    dimensions = 2


class InstanceNorm3d(_InstanceNorm):
    """InstanceNorm1d for volumes. Shape: (N, C, D, H, W) or (C, D, H, W)."""

    dimensions = 3


class LazyInstanceNorm1d(_LazyNormBase, InstanceNorm1d):
    """An InstanceNorm1d that learns `num_features` from its first input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNormBase, InstanceNorm2d):
    """An InstanceNorm2d that learns `num_features` from its first input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNormBase, InstanceNorm3d):
    """An InstanceNorm3d that learns `num_features` from its first input."""

    cls_to_become = InstanceNorm3d
