"""Every module: seeded, called once in training and once in evaluation, and differentiated."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any

import numpy as np

from torchplug_conformance.recipes.running import Floats, Whole, arrays_for, plain, weighted

__all__ = ["MODULES", "run_module"]

Recipe = tuple[Callable[[Any], Any], tuple[Any, ...]]
ROWS = Floats(4, 6)
IMAGES = Floats(1, 4, 6, 6)
SIGNALS = Floats(2, 4, 9)
VOLUMES = Floats(1, 2, 4, 4, 4)


def _packed(nn: Any, layer: Any, lengths: list[int]) -> Any:
    """Returns a module that packs its input, runs a recurrent layer over it and pads the outputs."""

    class Packed(nn.Module):  # type: ignore[misc]  # nn is that of whichever library runs the recipe
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Any) -> Any:
            sequences = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
            out, states = self.layer(sequences)
            return nn.utils.rnn.pad_packed_sequence(out), states

    return Packed()


LAYERS: dict[str, Recipe] = {
    "Linear": (lambda nn: nn.Linear(6, 3), (ROWS,)),
    "Linear-without-bias": (lambda nn: nn.Linear(6, 3, bias=False), (ROWS,)),
    "Bilinear": (lambda nn: nn.Bilinear(3, 4, 2), (Floats(5, 3), Floats(5, 4))),
    "Conv1d": (lambda nn: nn.Conv1d(4, 3, 3, stride=2, padding=1), (SIGNALS,)),
    "Conv2d": (lambda nn: nn.Conv2d(4, 3, 3), (IMAGES,)),
    "Conv2d-same": (lambda nn: nn.Conv2d(4, 4, 3, padding="same", groups=2), (IMAGES,)),
    "Conv2d-reflect": (lambda nn: nn.Conv2d(4, 2, 3, stride=2, padding=1, padding_mode="reflect"), (IMAGES,)),
    "Conv3d": (lambda nn: nn.Conv3d(2, 2, 2, dilation=2), (VOLUMES,)),
    "ConvTranspose1d": (lambda nn: nn.ConvTranspose1d(4, 2, 3, stride=2), (SIGNALS,)),
    "ConvTranspose2d": (
        lambda nn: nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
        (Floats(2, 4, 3, 3),),
    ),
    "ConvTranspose3d": (lambda nn: nn.ConvTranspose3d(2, 1, 2), (Floats(1, 2, 2, 2, 2),)),
    "Embedding": (lambda nn: nn.Embedding(7, 3), (Whole(7, 2, 4),)),
    "Embedding-with-padding": (lambda nn: nn.Embedding(7, 3, padding_idx=2), (Whole(7, 2, 4),)),
    "EmbeddingBag": (lambda nn: nn.EmbeddingBag(7, 3, mode="mean"), (Whole(7, 3, 4),)),
    "BatchNorm1d": (lambda nn: nn.BatchNorm1d(6), (ROWS,)),
    "BatchNorm2d": (lambda nn: nn.BatchNorm2d(4, momentum=0.3), (IMAGES,)),
    "BatchNorm3d": (lambda nn: nn.BatchNorm3d(2, affine=False), (VOLUMES,)),
    "InstanceNorm1d": (lambda nn: nn.InstanceNorm1d(4, track_running_stats=True), (SIGNALS,)),
    "InstanceNorm2d": (lambda nn: nn.InstanceNorm2d(4, affine=True), (IMAGES,)),
    "InstanceNorm3d": (lambda nn: nn.InstanceNorm3d(2), (VOLUMES,)),
    "LayerNorm": (lambda nn: nn.LayerNorm(6), (ROWS,)),
    "GroupNorm": (lambda nn: nn.GroupNorm(2, 4), (IMAGES,)),
    "RMSNorm": (lambda nn: nn.RMSNorm(6), (ROWS,)),
    "LocalResponseNorm": (lambda nn: nn.LocalResponseNorm(2), (IMAGES,)),
    # Values alone: the gradient that PyTorch states is not the slope of its own result.
    "CrossMapLRN2d": (lambda nn: _holder(nn, nn.CrossMapLRN2d(3, 0.5), lambda layer, x: layer(x.detach())), (IMAGES,)),
    "PReLU": (lambda nn: nn.PReLU(4), (IMAGES,)),
    "Dropout": (lambda nn: nn.Dropout(0.4), (ROWS,)),
    "Dropout2d": (lambda nn: nn.Dropout2d(0.4), (IMAGES,)),
    "Dropout1d": (lambda nn: nn.Dropout1d(0.4), (SIGNALS,)),
    "Dropout3d": (lambda nn: nn.Dropout3d(0.4), (VOLUMES,)),
    "AlphaDropout": (lambda nn: nn.AlphaDropout(0.3), (ROWS,)),
    "FeatureAlphaDropout": (lambda nn: nn.FeatureAlphaDropout(0.3), (IMAGES,)),
    "RReLU": (lambda nn: nn.RReLU(), (ROWS,)),
    "RNN": (lambda nn: nn.RNN(6, 4, num_layers=2), (Floats(5, 3, 6),)),
    "RNN-relu": (lambda nn: nn.RNN(6, 4, nonlinearity="relu", batch_first=True), (Floats(3, 5, 6),)),
    "LSTM": (lambda nn: nn.LSTM(6, 4, bidirectional=True), (Floats(5, 3, 6),)),
    "LSTM-projected": (lambda nn: nn.LSTM(6, 5, proj_size=2), (Floats(4, 2, 6),)),
    "GRU": (lambda nn: nn.GRU(6, 4, num_layers=2, batch_first=True), (Floats(3, 5, 6),)),
    "RNN-packed": (lambda nn: _packed(nn, nn.RNN(6, 4, bidirectional=True, bias=False), [3, 5, 1]), (Floats(5, 3, 6),)),
    "LSTM-packed": (lambda nn: _packed(nn, nn.LSTM(6, 4, bidirectional=True), [2, 5, 5]), (Floats(5, 3, 6),)),
    "LSTM-dropout": (lambda nn: nn.LSTM(6, 4, num_layers=2, dropout=0.4), (Floats(5, 3, 6),)),
    "GRU-packed": (
        lambda nn: _packed(nn, nn.GRU(6, 4, num_layers=2, dropout=0.4, bidirectional=True), [3, 1, 4]),
        (Floats(4, 3, 6),),
    ),
    "RNNCell": (lambda nn: nn.RNNCell(6, 4), (ROWS,)),
    "LSTMCell": (lambda nn: nn.LSTMCell(6, 4), (ROWS,)),
    "GRUCell": (lambda nn: nn.GRUCell(6, 4), (ROWS,)),
    "MultiheadAttention": (lambda nn: nn.MultiheadAttention(6, 2), (Floats(5, 3, 6),) * 3),
    "TransformerEncoderLayer": (lambda nn: nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0), (Floats(5, 3, 6),)),
    "TransformerDecoderLayer": (
        lambda nn: nn.TransformerDecoderLayer(6, 2, 8, dropout=0.0, batch_first=True),
        (Floats(3, 4, 6), Floats(3, 5, 6)),
    ),
    "TransformerEncoder": (
        lambda nn: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0), 2, norm=nn.LayerNorm(6), enable_nested_tensor=False
        ),
        (Floats(5, 3, 6),),
    ),
    "TransformerDecoder": (
        lambda nn: nn.TransformerDecoder(nn.TransformerDecoderLayer(6, 2, 8, dropout=0.0, activation="gelu"), 2),
        (Floats(4, 3, 6), Floats(5, 3, 6)),
    ),
    "Transformer": (
        lambda nn: nn.Transformer(6, 2, 1, 1, 8, dropout=0.0, batch_first=True),
        (Floats(3, 5, 6), Floats(3, 4, 6)),
    ),
    "MaxPool1d": (lambda nn: nn.MaxPool1d(3, stride=2), (SIGNALS,)),
    "MaxPool2d": (lambda nn: nn.MaxPool2d(2), (IMAGES,)),
    "MaxPool2d-ceil": (lambda nn: nn.MaxPool2d(3, 2, padding=1, ceil_mode=True), (IMAGES,)),
    "MaxPool3d": (lambda nn: nn.MaxPool3d(2), (VOLUMES,)),
    "AvgPool1d": (lambda nn: nn.AvgPool1d(3), (SIGNALS,)),
    "AvgPool2d": (lambda nn: nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), (IMAGES,)),
    "AvgPool3d": (lambda nn: nn.AvgPool3d(2), (VOLUMES,)),
    "LPPool1d": (lambda nn: nn.LPPool1d(2, 3), (SIGNALS,)),
    "LPPool2d": (lambda nn: nn.LPPool2d(2, 2), (IMAGES,)),
    "LPPool3d": (lambda nn: nn.LPPool3d(2, 2), (VOLUMES,)),
    "FractionalMaxPool2d": (lambda nn: nn.FractionalMaxPool2d(2, output_size=(3, 4)), (IMAGES,)),
    "FractionalMaxPool3d": (lambda nn: nn.FractionalMaxPool3d(2, output_ratio=0.7), (VOLUMES,)),
    "MaxUnpool1d": (lambda nn: nn.MaxUnpool1d(2), (Floats(1, 2, 3), np.array([[[0, 3, 4], [1, 2, 5]]]))),
    "MaxUnpool2d": (lambda nn: nn.MaxUnpool2d(2), (Floats(1, 2, 1, 2), np.array([[[[4, 7]], [[0, 3]]]]))),
    "MaxUnpool3d": (lambda nn: nn.MaxUnpool3d(2), (Floats(1, 1, 1, 1, 2), np.array([[[[[9, 6]]]]]))),
    "AdaptiveAvgPool1d": (lambda nn: nn.AdaptiveAvgPool1d(4), (SIGNALS,)),
    "AdaptiveAvgPool2d": (lambda nn: nn.AdaptiveAvgPool2d((3, 2)), (Floats(2, 4, 7, 5),)),
    "AdaptiveAvgPool3d": (lambda nn: nn.AdaptiveAvgPool3d((3, 2, 1)), (VOLUMES,)),
    "AdaptiveMaxPool1d": (lambda nn: nn.AdaptiveMaxPool1d(4), (SIGNALS,)),
    "AdaptiveMaxPool2d": (lambda nn: nn.AdaptiveMaxPool2d(2), (Floats(2, 4, 5, 7),)),
    "AdaptiveMaxPool3d": (lambda nn: nn.AdaptiveMaxPool3d((2, 3, 1)), (VOLUMES,)),
    "ReflectionPad1d": (lambda nn: nn.ReflectionPad1d((3, 1)), (SIGNALS,)),
    "ReflectionPad2d": (lambda nn: nn.ReflectionPad2d((1, 2, 0, 1)), (IMAGES,)),
    "ReflectionPad3d": (lambda nn: nn.ReflectionPad3d(1), (VOLUMES,)),
    "ReplicationPad1d": (lambda nn: nn.ReplicationPad1d(2), (SIGNALS,)),
    "ReplicationPad2d": (lambda nn: nn.ReplicationPad2d((2, 0, 1, 1)), (IMAGES,)),
    "ReplicationPad3d": (lambda nn: nn.ReplicationPad3d(1), (VOLUMES,)),
    "CircularPad1d": (lambda nn: nn.CircularPad1d((2, 1)), (SIGNALS,)),
    "CircularPad2d": (lambda nn: nn.CircularPad2d(1), (IMAGES,)),
    "CircularPad3d": (lambda nn: nn.CircularPad3d((1, 0, 2, 1, 0, 1)), (VOLUMES,)),
    "ConstantPad1d": (lambda nn: nn.ConstantPad1d((1, 2), 3.5), (SIGNALS,)),
    "ConstantPad2d": (lambda nn: nn.ConstantPad2d((1, -1, 0, 2), -1.0), (IMAGES,)),
    "ConstantPad3d": (lambda nn: nn.ConstantPad3d(1, 0.5), (VOLUMES,)),
    "ZeroPad1d": (lambda nn: nn.ZeroPad1d((2, 1)), (SIGNALS,)),
    "ZeroPad2d": (lambda nn: nn.ZeroPad2d(1), (IMAGES,)),
    "ZeroPad3d": (lambda nn: nn.ZeroPad3d((1, 0, 0, 2, 1, 1)), (VOLUMES,)),
    "Upsample-nearest": (lambda nn: nn.Upsample(scale_factor=2), (Floats(1, 2, 3, 3),)),
    "Upsample-bilinear": (lambda nn: nn.Upsample(size=(5, 4), mode="bilinear"), (Floats(1, 2, 3, 3),)),
    "UpsamplingNearest2d": (lambda nn: nn.UpsamplingNearest2d(size=(5, 4)), (Floats(1, 2, 3, 3),)),
    "UpsamplingBilinear2d": (lambda nn: nn.UpsamplingBilinear2d(scale_factor=2), (Floats(1, 2, 3, 3),)),
    "PixelShuffle": (lambda nn: nn.PixelShuffle(2), (IMAGES,)),
    "PixelUnshuffle": (lambda nn: nn.PixelUnshuffle(2), (IMAGES,)),
    "ChannelShuffle": (lambda nn: nn.ChannelShuffle(2), (IMAGES,)),
    "Unfold": (lambda nn: nn.Unfold(3, stride=2), (IMAGES,)),
    "Fold": (lambda nn: nn.Fold((4, 4), 2, stride=2), (Floats(2, 8, 4),)),
    "Flatten": (lambda nn: nn.Flatten(), (IMAGES,)),
    "Unflatten": (lambda nn: nn.Unflatten(1, (2, 3)), (ROWS,)),
    "CosineSimilarity": (lambda nn: nn.CosineSimilarity(), (ROWS, ROWS)),
    "PairwiseDistance": (lambda nn: nn.PairwiseDistance(), (ROWS, ROWS)),
    "Sequential": (lambda nn: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.BatchNorm1d(5), nn.Linear(5, 2)), (ROWS,)),
    "ModuleList": (lambda nn: _holder(nn, nn.ModuleList([nn.Linear(6, 5), nn.Linear(5, 3)]), _in_turn), (ROWS,)),
    "ModuleDict": (
        lambda nn: _holder(nn, nn.ModuleDict({"first": nn.Linear(6, 5), "last": nn.Linear(5, 3)}), _in_turn),
        (ROWS,),
    ),
    "ParameterList": (lambda nn: _holder(nn, nn.ParameterList(_weights(nn)), _products), (ROWS,)),
    "ParameterDict": (
        lambda nn: _holder(nn, nn.ParameterDict(dict(zip("ab", _weights(nn), strict=True))), _products),
        (ROWS,),
    ),
    "DataParallel": (lambda nn: nn.DataParallel(nn.Linear(6, 3)), (ROWS,)),
}


def _holder(nn: Any, held: Any, run: Callable[[Any, Any], Any]) -> Any:
    """Returns a module whose one member is a container, and whose result is `run(container, x)`."""

    class Holder(nn.Module):  # type: ignore[misc]  # nn is that of whichever library runs the recipe
        def __init__(self) -> None:
            super().__init__()
            self.held = held

        def forward(self, x: Any) -> Any:
            return run(self.held, x)

    return Holder()


def _in_turn(layers: Any, x: Any) -> Any:
    for layer in layers.values() if hasattr(layers, "values") else layers:
        x = layer(x).tanh()
    return x


def _weights(nn: Any) -> list[Any]:
    return [nn.Linear(6, 5).weight, nn.Linear(5, 3).weight]


def _products(weights: Any, x: Any) -> Any:
    for weight in weights.values() if hasattr(weights, "values") else weights:
        x = x @ weight.t()
    return x


LAZY: dict[str, Recipe] = {
    "LazyLinear": (lambda nn: nn.LazyLinear(3), (ROWS,)),
    **{
        f"LazyConv{dims}d": (methodcaller(f"LazyConv{dims}d", 3, 2), (example,))
        for dims, example in ((1, SIGNALS), (2, IMAGES), (3, VOLUMES))
    },
    **{
        f"LazyConvTranspose{dims}d": (methodcaller(f"LazyConvTranspose{dims}d", 2, 2), (example,))
        for dims, example in ((1, SIGNALS), (2, Floats(1, 4, 3, 3)), (3, Floats(1, 2, 2, 2, 2)))
    },
    **{
        f"Lazy{kind}{dims}d": (methodcaller(f"Lazy{kind}{dims}d"), (example,))
        for kind in ("BatchNorm", "InstanceNorm")
        for dims, example in ((1, SIGNALS), (2, IMAGES), (3, VOLUMES))
    },
}
ACTIVATIONS: dict[str, Recipe] = {
    name: (methodcaller(name), (ROWS,))
    for name in (
        "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid",
        "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink",
    )
}  # fmt: skip
ACTIVATIONS |= {
    "GELU-tanh": (lambda nn: nn.GELU(approximate="tanh"), (ROWS,)),
    "GLU": (lambda nn: nn.GLU(), (ROWS,)),
    "LogSoftmax": (lambda nn: nn.LogSoftmax(dim=1), (ROWS,)),
    "Softmax": (lambda nn: nn.Softmax(dim=0), (ROWS,)),
    "Softmax2d": (lambda nn: nn.Softmax2d(), (IMAGES,)),
    "Softmin": (lambda nn: nn.Softmin(dim=1), (ROWS,)),
    "Threshold": (lambda nn: nn.Threshold(0.1, 20), (ROWS,)),
}
CLASSES = Whole(6, 4)
CHANCES = Floats(4, 6, low=0.05, high=0.95)
SIGNS = np.array([1, -1, 1, -1], np.int64)
LOSSES: dict[str, Recipe] = {
    "MSELoss": (lambda nn: nn.MSELoss(), (ROWS, ROWS)),
    "L1Loss": (lambda nn: nn.L1Loss(reduction="sum"), (ROWS, ROWS)),
    "SmoothL1Loss": (lambda nn: nn.SmoothL1Loss(), (ROWS, ROWS)),
    "HuberLoss": (lambda nn: nn.HuberLoss(delta=0.7), (ROWS, ROWS)),
    "NLLLoss": (lambda nn: nn.NLLLoss(), (ROWS, CLASSES)),
    "CrossEntropyLoss": (lambda nn: nn.CrossEntropyLoss(label_smoothing=0.1), (ROWS, CLASSES)),
    "CrossEntropyLoss-images": (lambda nn: nn.CrossEntropyLoss(ignore_index=1), (IMAGES, Whole(4, 1, 6, 6))),
    "BCELoss": (lambda nn: nn.BCELoss(), (CHANCES, CHANCES)),
    "BCEWithLogitsLoss": (lambda nn: nn.BCEWithLogitsLoss(), (ROWS, CHANCES)),
    "KLDivLoss": (lambda nn: nn.KLDivLoss(reduction="batchmean"), (ROWS, CHANCES)),
    "PoissonNLLLoss": (lambda nn: nn.PoissonNLLLoss(), (ROWS, CHANCES)),
    "GaussianNLLLoss": (lambda nn: nn.GaussianNLLLoss(), (ROWS, ROWS, CHANCES)),
    "SoftMarginLoss": (lambda nn: nn.SoftMarginLoss(), (Floats(4), SIGNS.astype(np.float32))),
    "HingeEmbeddingLoss": (lambda nn: nn.HingeEmbeddingLoss(), (Floats(4), SIGNS)),
    "CosineEmbeddingLoss": (lambda nn: nn.CosineEmbeddingLoss(), (ROWS, ROWS, SIGNS)),
    "MarginRankingLoss": (lambda nn: nn.MarginRankingLoss(margin=0.5), (Floats(4), Floats(4), SIGNS)),
    "TripletMarginLoss": (lambda nn: nn.TripletMarginLoss(), (ROWS, ROWS, ROWS)),
    "MultiMarginLoss": (lambda nn: nn.MultiMarginLoss(), (ROWS, CLASSES)),
    "TripletMarginWithDistanceLoss": (
        lambda nn: nn.TripletMarginWithDistanceLoss(distance_function=nn.CosineSimilarity(), swap=True),
        (ROWS, ROWS, ROWS),
    ),
    "MultiLabelMarginLoss": (
        lambda nn: nn.MultiLabelMarginLoss(),
        (Floats(2, 4), np.array([[3, 0, -1, 1], [1, -1, 0, 2]])),
    ),
    "NLLLoss2d": (lambda nn: nn.NLLLoss2d(), (IMAGES, Whole(4, 1, 6, 6))),
    "CTCLoss": (
        lambda nn: nn.CTCLoss(zero_infinity=True),
        (Floats(7, 2, 5, low=-3.0, high=-0.5), Whole(5, 2, 3, low=1), np.array([7, 6]), np.array([3, 2])),
    ),
    "AdaptiveLogSoftmaxWithLoss": (
        lambda nn: nn.AdaptiveLogSoftmaxWithLoss(6, 9, cutoffs=[3, 6], div_value=2.0),
        (ROWS, Whole(9, 4)),
    ),
    "MultiLabelSoftMarginLoss": (lambda nn: nn.MultiLabelSoftMarginLoss(), (ROWS, CHANCES)),
}
MODULES: dict[str, Recipe] = {**LAYERS, **LAZY, **ACTIVATIONS, **LOSSES}
"""Class, perhaps with a variant after a dash -> (how to make it from `torch.nn`, inputs)."""


def run_module(torch: Any, name: str, lay: Callable[[np.ndarray], Any] | None = None) -> dict[str, Any]:
    """Returns the results of a module in training and evaluation, its gradients, and its state afterwards.

    `lay` makes the inputs from arrays, where they are to lie in memory in another way.
    """
    make, inputs = MODULES[name]
    torch.manual_seed(0)
    module = make(torch.nn)
    tensors = [(lay or torch.tensor)(array) for array in arrays_for(name, inputs)]
    for tensor in tensors[:1] if name in LOSSES else tensors:
        if tensor.is_floating_point():
            tensor.requires_grad_()
    trained = module(*tensors)
    total = weighted(torch, trained, name)
    if total.requires_grad:
        total.backward()
    module.eval()
    evaluated = module(*tensors)
    results = plain(trained)
    return {
        "trained": results,
        "evaluated": "as trained" if plain(evaluated) == results else plain(evaluated),
        "input gradients": plain([tensor.grad for tensor in tensors if tensor.grad is not None]),
        "parameter gradients": {key: plain(value.grad) for key, value in module.named_parameters()},
        "state": {key: plain(value) for key, value in module.state_dict().items()},
    }
