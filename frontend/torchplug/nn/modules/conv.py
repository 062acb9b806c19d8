"""Convolution layers, plain, transposed and lazy."""

from __future__ import annotations

import math
from typing import Any

from torchplug._core.device import DeviceLike
from torchplug._core.tensor import Parameter, Tensor
from torchplug.nn import functional as F
from torchplug.nn import init
from torchplug.nn.modules.lazy import LazyModuleMixin
from torchplug.nn.modules.module import Module
from torchplug.nn.modules.per_dimension import per_dimension
from torchplug.nn.parameter import UninitializedParameter, is_lazy
from torchplug.ops.creation import empty

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "LazyConv1d", "LazyConv2d",
    "LazyConv3d", "LazyConvTranspose1d", "LazyConvTranspose2d", "LazyConvTranspose3d",
]  # fmt: skip

Sizes = int | tuple[int, ...]
_PADDING_MODES = ("circular", "reflect", "replicate", "zeros")


class _ConvNd(Module):
    """What all convolutions share: options (one per dimension, as tuples), weight and bias."""

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...] | str,
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: DeviceLike = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check_channels(in_channels, out_channels, groups)
        if isinstance(padding, str):
            _check_named_padding(padding, stride)
        if padding_mode not in _PADDING_MODES:
            modes = "{" + ", ".join(map(repr, _PADDING_MODES)) + "}"
            raise ValueError(f"padding_mode must be one of {modes}, but got padding_mode={padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = self._border()
        self._make_parameters(bias, device, dtype)

    def _border(self) -> Any:
        """Returns the padding as F.pad takes it: last dimension first, both sides."""
        if not isinstance(self.padding, str):
            return tuple(width for width in reversed(self.padding) for _ in range(2))
        border = []
        for kernel, dilation in zip(reversed(self.kernel_size), reversed(self.dilation), strict=True):
            total = dilation * (kernel - 1) if self.padding == "same" else 0
            border += [total // 2, total - total // 2]
        return border

    def _make_parameters(self, bias: bool, device: Any, dtype: Any) -> None:
        channels = (self.out_channels, self.in_channels // self.groups)
        if self.transposed:
            channels = (self.in_channels, self.out_channels // self.groups)
        self.weight = Parameter(empty((*channels, *self.kernel_size), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(self.out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew, uniform in ±1/√(in_channels / groups · ∏kernel_size)."""
        # With slope √5 the bound of kaiming_uniform_ is 1/√fan_in.
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        count = len(self.stride)
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * count:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * count:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * count:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("padding_mode", "zeros")


def _check_channels(in_channels: int, out_channels: int, groups: int) -> None:
    if groups <= 0:
        raise ValueError("groups must be a positive integer")
    if in_channels % groups != 0:
        raise ValueError("in_channels must be divisible by groups")
    if out_channels % groups != 0:
        raise ValueError("out_channels must be divisible by groups")


def _check_named_padding(padding: str, stride: tuple[int, ...]) -> None:
    if padding not in ("valid", "same"):
        raise ValueError(f"Invalid padding string {padding!r}, should be one of {{'valid', 'same'}}")
    if padding == "same" and any(step != 1 for step in stride):
        raise ValueError("padding='same' is not supported for strided convolutions")


class _Conv(_ConvNd):
    """A plain convolution; see Conv2d."""

    dimensions: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: DeviceLike = None,
        dtype: Any = None,
    ) -> None:
        size, steps, gaps = (per_dimension(option, self.dimensions) for option in (kernel_size, stride, dilation))
        border = padding if isinstance(padding, str) else per_dimension(padding, self.dimensions)
        none = per_dimension(0, self.dimensions)
        super().__init__(
            in_channels, out_channels, size, steps, border, gaps, False, none, groups, bias, padding_mode, device, dtype
        )

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.dimensions - 1]
        if self.padding_mode == "zeros":
            return convolve(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        padded = F.pad(input, self._reversed_padding_repeated_twice, self.padding_mode)
        return convolve(padded, weight, bias, self.stride, (0,) * self.dimensions, self.dilation, self.groups)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)


class Conv1d(_Conv):
    """Slides a kernel over a sequence.

    Shape: input (N, C_in, L) or (C_in, L), output (N, C_out, L') with
    L' = ⌊(L + 2 padding - dilation (kernel - 1) - 1) / stride⌋ + 1; weight (C_out, C_in / groups, kernel).
    """

    dimensions = 1


class Conv2d(_Conv):
    """Slides a kernel over an image.

    Shape: input (N, C_in, H, W) or (C_in, H, W), output (N, C_out, H', W'), each spatial size as in Conv1d; weight
    (C_out, C_in / groups, *kernel_size). padding may be "same" or "valid"; padding_mode zeros, reflect, replicate,
    circular.
    """

    dimensions = 2


class Conv3d(_Conv):
    """Slides a kernel over a volume.

    Shape: input (N, C_in, D, H, W) or (C_in, D, H, W), output (N, C_out, D', H', W'), each spatial size as in Conv1d.
    """

    dimensions = 3


class _ConvTransposeNd(_ConvNd):
    """A transposed convolution; see ConvTranspose2d."""

    dimensions: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: DeviceLike = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        options = (kernel_size, stride, padding, dilation, output_padding)
        size, steps, border, gaps, extra = (per_dimension(option, self.dimensions) for option in options)
        super().__init__(
            in_channels, out_channels, size, steps, border, gaps, True, extra, groups, bias, padding_mode, device, dtype
        )

    def _output_padding(self, input: Tensor, output_size: Any) -> tuple[int, ...]:
        """Returns the output padding that makes the output have a wanted size."""
        if output_size is None:
            return self.output_padding
        count, sizes = self.dimensions, tuple(input.shape[-self.dimensions :])
        wanted = list(output_size)
        if len(wanted) == input.dim() and input.dim() > count:
            wanted = wanted[-count:]
        if len(wanted) != count:
            raise ValueError(
                f"ConvTranspose{count}D: for {input.dim()}D input, output_size must have {count} or {input.dim()} "
                f"elements (got {len(wanted)})"
            )
        steps: Any = zip(sizes, self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        least = [(size - 1) * step - 2 * pad + dilate * (kernel - 1) + 1 for size, step, pad, dilate, kernel in steps]
        most = [size + step - 1 for size, step in zip(least, self.stride, strict=True)]
        if any(not low <= size <= high for low, size, high in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"requested an output size of {output_size}, but valid sizes range from {least} to {most} (for an "
                f"input of {input.size()[2:]})"
            )
        return tuple(size - low for size, low in zip(wanted, least, strict=True))

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        convolve: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.dimensions - 1]
        output_padding = self._output_padding(input, output_size)
        return convolve(
            input, self.weight, self.bias, self.stride, self.padding, output_padding, self.groups, self.dilation
        )


class ConvTranspose1d(_ConvTransposeNd):
    """The transpose of Conv1d, which enlarges a sequence.

    Shape: input (N, C_in, L) or (C_in, L), output (N, C_out, L') with
    L' = (L - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1; weight (C_in, C_out / groups, kernel).
    """

    dimensions = 1


class ConvTranspose2d(_ConvTransposeNd):
    """The transpose of Conv2d, which enlarges an image; `output_size` of the call chooses among the possible sizes.

    Shape: input (N, C_in, H, W) or (C_in, H, W), output (N, C_out, H', W'), each spatial size as in ConvTranspose1d.
    """

    dimensions = 2


class ConvTranspose3d(_ConvTransposeNd):
    """The transpose of Conv3d, which enlarges a volume.

    Shape: input (N, C_in, D, H, W) or (C_in, D, H, W), output (N, C_out, D', H', W'), sizes as in ConvTranspose1d.
    """

    dimensions = 3


class _LazyConv(LazyModuleMixin):
    """Learns `in_channels` from the first input."""

    def __init__(self: Any, out_channels: int, kernel_size: Sizes, *args: Any, **kwargs: Any) -> None:
        names = self._option_names()
        options = dict(zip(names, args, strict=False), **kwargs)
        bias, device, dtype = options.pop("bias", True), options.pop("device", None), options.pop("dtype", None)
        # The real weight comes with the first input; until then the layer has neither channels nor values.
        super().__init__(0, 0, kernel_size, bias=False, **options)
        self.out_channels = out_channels
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def _option_names(self: Any) -> tuple[str, ...]:
        code = self.cls_to_become.__init__.__code__
        return code.co_varnames[4 : code.co_argcount]

    def reset_parameters(self: Any) -> None:
        """Draws weight and bias anew, once their shapes are known."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self: Any, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Makes the parameters for inputs like this one."""
        if not self.has_uninitialized_params():
            return
        self.in_channels = self._channels_of(input)
        _check_channels(self.in_channels, self.out_channels, self.groups)
        first, second = self.out_channels, self.in_channels // self.groups
        if self.transposed:
            first, second = self.in_channels, self.out_channels // self.groups
        self.weight.materialize((first, second, *self.kernel_size))
        if is_lazy(self.bias):
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()

    def _channels_of(self: Any, input: Tensor) -> int:
        unbatched, batched = self.dimensions + 1, self.dimensions + 2
        if input.dim() not in (unbatched, batched):
            raise RuntimeError(
                f"Expected {unbatched}D (unbatched) or {batched}D (batched) input to {type(self).__name__}, but got "
                f"input of size: {input.shape}"
            )
        return input.shape[1] if input.dim() == batched else input.shape[0]


class LazyConv1d(_LazyConv, Conv1d):
    """A Conv1d that learns `in_channels` from its first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """A Conv2d that learns `in_channels` from its first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """A Conv3d that learns `in_channels` from its first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConv, ConvTranspose1d):
    """A ConvTranspose1d that learns `in_channels` from its first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConv, ConvTranspose2d):
    """A ConvTranspose2d that learns `in_channels` from its first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConv, ConvTranspose3d):
    """A ConvTranspose3d that learns `in_channels` from its first input."""

    cls_to_become = ConvTranspose3d
