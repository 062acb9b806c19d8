"""Batch normalization layers, plain, lazy and synchronized."""

from __future__ import annotations

from typing import Any

from torchplug._core.device import DeviceLike
from torchplug._core.tensor import Parameter, Tensor
from torchplug.nn import functional as F
from torchplug.nn import init
from torchplug.nn.modules.lazy import LazyModuleMixin
from torchplug.nn.modules.module import Module
from torchplug.nn.parameter import UninitializedBuffer, UninitializedParameter
from torchplug.ops.creation import empty, ones, zeros
from torchplug.ops.from_data import tensor
from torchplug_spec import dtypes as dt

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d",
    "SyncBatchNorm",
]  # fmt: skip


class _NormBase(Module):
    """Statistics and affine parameters per channel: what batch and instance normalization share."""

    _version = 2
    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: DeviceLike = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter(
            "weight", Parameter(empty(num_features, device=device, dtype=dtype)) if affine else None
        )
        has_bias = affine and bias
        self.register_parameter(
            "bias", Parameter(empty(num_features, device=device, dtype=dtype)) if has_bias else None
        )
        self._make_statistics(device, dtype)
        self.reset_parameters()

    def _make_statistics(self, device: Any, dtype: Any) -> None:
        track, count = self.track_running_stats, self.num_features
        self.register_buffer("running_mean", zeros(count, device=device, dtype=dtype) if track else None)
        self.register_buffer("running_var", ones(count, device=device, dtype=dtype) if track else None)
        self.register_buffer("num_batches_tracked", tensor(0, dtype=dt.int64, device=device) if track else None)

    def reset_running_stats(self) -> None:
        """Sets the running mean to 0, the running variance to 1, the count of batches to 0."""
        if self.track_running_stats:
            self.running_mean.zero_()  # type: ignore[union-attr]
            self.running_var.fill_(1)  # type: ignore[union-attr]
            self.num_batches_tracked.zero_()  # type: ignore[union-attr]

    def reset_parameters(self) -> None:
        """Resets the statistics, sets weight to 1 and bias to 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        raise NotImplementedError

    def _next_momentum(self) -> float:
        """Counts a batch while training; returns the weight of its statistics (momentum None: the same for all)."""
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                return 1.0 / float(self.num_batches_tracked)
        return 0.0 if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool, missing_keys: list,
        unexpected_keys: list, error_msgs: list,
    ) -> None:  # fmt: skip
        version = local_metadata.get("version", None)
        key = prefix + "num_batches_tracked"
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            # The count came with version 2; older states are loaded as if no batch had been seen since.
            own = self.num_batches_tracked
            state_dict[key] = own if own is not None else tensor(0, dtype=dt.int64)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class _BatchNorm(_NormBase):
    """Normalizes each channel by the mean and variance of the batch, or of all batches seen when evaluating."""

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum = self._next_momentum()
        mean, variance = self.running_mean, self.running_var
        of_batch = self.training or (mean is None and variance is None)
        if self.training and not self.track_running_stats:
            mean = variance = None
        return F.batch_norm(input, mean, variance, self.weight, self.bias, of_batch, momentum, self.eps)


def _check_dim(input: Tensor, *allowed: int) -> None:
    if input.dim() not in allowed:
        names = " or ".join(f"{dim}D" for dim in allowed)
        raise ValueError(f"expected {names} input (got {input.dim()}D input)")


class BatchNorm1d(_BatchNorm):
    """(x - mean) / √(variance + eps) · weight + bias, per channel. Shape: (N, C) or (N, C, L).

    Training uses the batch's statistics and moves the running ones by momentum; evaluating uses the running ones.
    Source: Ioffe and Szegedy 2015.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dim(input, 2, 3)


class BatchNorm2d(_BatchNorm):
    """BatchNorm1d for images. Shape: (N, C, H, W)."""

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dim(input, 4)


class BatchNorm3d(_BatchNorm):
    """BatchNorm1d for volumes. Shape: (N, C, D, H, W)."""

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dim(input, 5)


class SyncBatchNorm(_BatchNorm):
    """BatchNorm over inputs of two or more dimensions, as one process of a group computes it on its own batch.

    In a group of one process, which is what torchplug runs, that is PyTorch's result.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: DeviceLike = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """Returns the module with every BatchNorm in it replaced by a SyncBatchNorm of the same parameters."""
        converted = module
        if isinstance(module, _BatchNorm) and not isinstance(module, SyncBatchNorm):
            converted = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
            )
            converted.training = module.training
            converted._parameters.update(module._parameters)
            converted._buffers.update(module._buffers)
        for name, child in module.named_children():
            converted.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return converted


class _LazyNormBase(LazyModuleMixin):
    """Learns `num_features` from the first input."""

    num_batches_tracked: Any

    def __init__(
        self: Any,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: DeviceLike = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        # Made without members, which are then added uninitialized.
        super().__init__(0, eps, momentum, False, False)
        self.affine = affine
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = UninitializedParameter(device=device, dtype=dtype)
            if bias:
                self.bias = UninitializedParameter(device=device, dtype=dtype)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)
            self.num_batches_tracked = tensor(0, dtype=dt.int64, device=device)

    def reset_parameters(self: Any) -> None:
        """Resets statistics and parameters, once their shapes are known."""
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self: Any, input: Tensor) -> None:
        """Makes parameters and statistics for inputs like this one."""
        if not self.has_uninitialized_params():
            return
        self.num_features = input.shape[1]
        members = (self.weight, self.bias, self.running_mean, self.running_var)
        for member in members:
            if member is not None:
                member.materialize((self.num_features,))
        self.reset_parameters()


class LazyBatchNorm1d(_LazyNormBase, BatchNorm1d):
    """A BatchNorm1d that learns `num_features` from its first input."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNormBase, BatchNorm2d):
    """A BatchNorm2d that learns `num_features` from its first input."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNormBase, BatchNorm3d):
    """A BatchNorm3d that learns `num_features` from its first input."""

    cls_to_become = BatchNorm3d
