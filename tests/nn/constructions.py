"""Every layer in several forms, and the inputs to call it with: what the tests of layers walk over."""

from __future__ import annotations

from typing import Any

# Per line: a construction, and the shapes to call it with, separated by "/" ("-" for none; several inputs by "&").
# A shape may end in a letter: i and n integers below 3, p numbers in (0, 1), s signs.
_TABLE = """
Identity(3, a=4) : 2,3
Linear(2, 3) : 4,2 / 2 / 2,5,2
Linear(2, 3, bias=False) : 4,2
Linear(2, 3, dtype=torch.float64) : -
Bilinear(2, 3, 4) : 5,2 & 5,3
Bilinear(2, 3, 4, False) : 5,2 & 5,3
Flatten() : 2,3,4 / 2
Flatten(0, 2) : 2,3,4
Unflatten(1, (2, 3)) : 4,6
Unflatten(-1, [2, -1]) : 4,6
Conv1d(2, 4, 3) : 3,2,8 / 2,8
Conv1d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2, bias=False) : 3,2,9
Conv1d(2, 4, (4,), padding='same', dilation=2) : 3,2,8
Conv2d(2, 4, 3) : 2,2,6,7 / 2,6,7
Conv2d(2, 4, (3, 5), (1, 2), (2, 1)) : 2,2,6,7
Conv2d(2, 4, 3, padding=1, padding_mode='reflect') : 2,2,6,7
Conv2d(2, 4, 2, padding='same', padding_mode='circular') : 2,2,6,7
Conv2d(2, 4, 3, padding='valid', padding_mode='replicate') : 2,2,6,7
Conv2d(4, 4, 3, groups=4, dilation=2) : 2,4,7,7
Conv2d(2, 4, [3, 3]) : 2,2,6,7
Conv3d(2, 4, 2) : 2,2,4,5,3
Conv3d(2, 4, (1, 2, 3), (1, 2, 1), (0, 1, 1), (1, 1, 1), 2) : 2,2,4,5,3
ConvTranspose1d(2, 4, 3) : 3,2,5 / 2,5
ConvTranspose1d(4, 2, 3, 3, 1, 2, 2) : 3,4,5
ConvTranspose2d(2, 4, 3) : 2,2,4,5
ConvTranspose2d(2, 4, 3, 2, 1, 1, 2, False, 3) : 2,2,4,5
ConvTranspose3d(2, 4, 2) : 2,2,3,2,3
MaxPool1d(2) : 2,3,7 / 3,7
MaxPool2d(3, 2, 1) : 2,3,7,6
MaxPool2d(3, 2, 1, 2, ceil_mode=True) : 2,3,9,8
MaxPool2d((2, 3)) : 2,3,7,6
MaxPool3d(2) : 2,3,4,5,4
AvgPool1d(2) : 2,3,7
AvgPool2d(3, 2, 1) : 2,3,7,6
AvgPool2d(3, 2, 1, True, False) : 2,3,7,6
AvgPool2d((2, 3), divisor_override=3) : 2,3,7,6
AvgPool3d(2) : 2,3,4,5,4
AdaptiveAvgPool1d(3) : 2,3,7
AdaptiveAvgPool2d((2, None)) : 2,3,7,6
AdaptiveAvgPool2d(1) : 2,3,7,6
AdaptiveAvgPool3d(2) : 2,3,4,5,4
AdaptiveMaxPool1d(2) : 2,3,7
AdaptiveMaxPool2d(2) : 2,3,7,6
AdaptiveMaxPool3d((1, 2, 3)) : 2,3,4,5,4
MaxUnpool1d(2) : -
MaxUnpool2d(2, (1, 2)) : -
MaxUnpool3d(2) : -
LPPool1d(2, 3) : 2,3,7p
LPPool2d(1.5, (2, 3), 2, True) : 2,3,7,6p
LPPool3d(2, 2) : 2,3,4,4,4p
FractionalMaxPool2d(2, 3) : 2,3,7,7
FractionalMaxPool2d(2, output_ratio=0.5, return_indices=True) : -
FractionalMaxPool3d(2, output_ratio=(0.5, 0.6, 0.7)) : 1,2,6,6,6
BatchNorm1d(3) : 4,3 / 4,3,5
BatchNorm1d(3, bias=False) : 4,3
BatchNorm2d(3, 1e-3, None, False) : 4,3,2,2
BatchNorm2d(3) : 4,3,2,2
BatchNorm3d(3, track_running_stats=False) : 4,3,2,2,2
SyncBatchNorm(3) : 4,3
LayerNorm(3) : 4,3
LayerNorm((2, 3), elementwise_affine=False) : 4,2,3
LayerNorm([2, 3], bias=False) : 4,2,3
GroupNorm(2, 4) : 3,4,5
GroupNorm(2, 4, affine=False) : 3,4,5
GroupNorm(2, 4, bias=False) : 3,4,5
InstanceNorm1d(3) : 2,3,5 / 3,5
InstanceNorm1d(3, affine=True, bias=False) : 2,3,5
InstanceNorm2d(3, affine=True) : 2,3,4,4
InstanceNorm3d(3, track_running_stats=True) : 2,3,2,3,2
RMSNorm(3) : 4,3
RMSNorm((2, 3), 1e-3, False) : 4,2,3
LocalResponseNorm(2) : 2,5,3
LocalResponseNorm(3, 1e-2, 0.5, 2.0) : 2,5,3,3
CrossMapLRN2d(3) : -
CrossMapLRN2d(2, 0.1, 0.5, 2) : -
Dropout() : 4,30
Dropout(0.2, True) : -
Dropout1d() : 4,5,3
Dropout2d() : 4,5,3,2
Dropout3d() : 4,5,3,2,1
AlphaDropout() : 4,30
FeatureAlphaDropout() : 4,5,3
Embedding(3, 4) : 5i / 2,5i
Embedding(3, 4, padding_idx=-1) : 5i
Embedding(3, 4, 1, 2.0, 1.0, True, False) : 5i
Embedding(3, 4, sparse=True) : -
EmbeddingBag(3, 4) : 2,5i
EmbeddingBag(3, 4, mode='max') : 2,5i
EmbeddingBag(3, 4, max_norm=1.0, mode='sum', padding_idx=2, include_last_offset=True) : -
ReLU() : 4,5
ReLU(True) : -
ReLU6() : 4,5
ReLU6(True) : -
Hardtanh() : 4,5
Hardtanh(-2.0, 3.0, True) : -
Hardtanh(-0.1, 0.1) : 4,5
Sigmoid() : 4,5
Tanh() : 4,5
Hardsigmoid() : 4,5
Hardsigmoid(True) : -
Hardswish() : 4,5
Hardswish(True) : -
SiLU() : 4,5
SiLU(True) : -
Mish() : 4,5
Mish(True) : -
ELU() : 4,5
ELU(2.0, True) : -
CELU() : 4,5
CELU(2.0, True) : -
SELU() : 4,5
SELU(True) : -
GLU() : 4,6
GLU(0) : 4,6
GELU() : 4,5
GELU('tanh') : 4,5
Hardshrink() : 4,5
Hardshrink(1.0) : 4,5
LeakyReLU() : 4,5
LeakyReLU(0.2, True) : -
LogSigmoid() : 4,5
Softplus() : 4,5
Softplus(2, 3) : 4,5
Softshrink() : 4,5
Softshrink(1.0) : 4,5
PReLU() : 4,5
PReLU(3, 0.1) : 4,3,2
Softsign() : 4,5
Tanhshrink() : 4,5
Softmin(1) : 4,5
Softmin() : -
Softmax(1) : 4,5
Softmax() : 4,5
Softmax2d() : 2,3,4,4 / 3,4,4
LogSoftmax(1) : 4,5
LogSoftmax() : 2,4,5
Threshold(0.1, 2.0) : 4,5
Threshold(1.0, 2.0, True) : -
RReLU() : 4,5
RReLU(0.1, 0.2, True) : -
L1Loss() : 4,5 & 4,5
L1Loss(reduction='none') : 4,5 & 4,5
MSELoss() : 4,5 & 4,5
MSELoss(reduction='sum') : 4,5 & 4,5
SmoothL1Loss(beta=0.5) : 4,5 & 4,5
HuberLoss('sum', 0.5) : 4,5 & 4,5
NLLLoss() : 4,3 & 4n
NLLLoss(torch.tensor([0.2, 0.3, 0.5]), ignore_index=1) : 4,3 & 4n
CrossEntropyLoss() : 4,3 & 4n / 4,3 & 4,3p / 2,3,4 & 2,4n
CrossEntropyLoss(torch.tensor([0.2, 0.3, 0.5]), label_smoothing=0.1) : 4,3 & 4n
BCELoss() : 4,5p & 4,5p
BCELoss(torch.tensor([0.2, 0.3, 0.5])) : 4,3p & 4,3p
BCEWithLogitsLoss() : 4,5 & 4,5p
BCEWithLogitsLoss(pos_weight=torch.tensor([0.2, 0.3, 0.5])) : 4,3 & 4,3p
KLDivLoss(reduction='batchmean') : 4,5 & 4,5p
KLDivLoss(reduction='sum', log_target=True) : 4,5 & 4,5
PoissonNLLLoss() : 4,5 & 4,5p
PoissonNLLLoss(False, True) : 4,5p & 4,5p
GaussianNLLLoss() : 4,5 & 4,5 & 4,5p
GaussianNLLLoss(full=True, eps=0.5, reduction='none') : 4,5 & 4,5 & 4,1p
HingeEmbeddingLoss() : 4,5 & 4,5s
SoftMarginLoss() : 4,5 & 4,5s
MultiLabelMarginLoss() : 4,3 & 4,3n
MultiLabelSoftMarginLoss() : 4,3 & 4,3p
MultiMarginLoss() : 4,3 & 4n
MultiMarginLoss(2, 0.5) : 4,3 & 4n
MarginRankingLoss(0.5) : 4 & 4 & 4s
CosineEmbeddingLoss(0.2) : 4,3 & 4,3 & 4s
TripletMarginLoss() : 4,3 & 4,3 & 4,3
TripletMarginLoss(0.5, 1.0, swap=True) : 4,3 & 4,3 & 4,3
TripletMarginWithDistanceLoss() : 4,3 & 4,3 & 4,3
CTCLoss() : -
CosineSimilarity() : 4,3 & 4,3
CosineSimilarity(0, 1e-3) : 4,3 & 4,3
PairwiseDistance() : 4,3 & 4,3
PairwiseDistance(1.0, 1e-3, True) : 4,3 & 4,3
PixelShuffle(2) : 2,4,3,2
PixelUnshuffle(2) : 2,1,4,6
ChannelShuffle(2) : 2,4,3
Upsample(3) : 2,3,4
Upsample(scale_factor=2) : 2,3,4 / 2,3,4,3
Upsample(scale_factor=(2, 3), mode='bilinear', align_corners=True) : 2,3,4,3
Upsample(scale_factor=2.5, recompute_scale_factor=True) : 2,3,4
Upsample((2, 3)) : 2,3,4,3
UpsamplingNearest2d(3) : 2,3,4,3
UpsamplingBilinear2d(scale_factor=2) : 2,3,4,3
ZeroPad1d(1) : 2,3,4
ZeroPad2d((1, 2, 3, 4)) : 2,3,4,3
ZeroPad2d(-1) : 2,3,4,3
ZeroPad3d(1) : 2,3,2,2,2
ConstantPad1d(1, 2.0) : 2,3,4
ConstantPad2d((1, 0, 2, 1), 3) : 2,3,4,3
ConstantPad3d(1, 0.5) : 2,3,2,2,2
ReflectionPad1d(1) : 2,3,4
ReflectionPad2d((1, 2, 0, 1)) : 2,3,4,3
ReflectionPad3d(1) : 2,3,2,2,2
ReplicationPad1d(1) : 2,3,4
ReplicationPad2d(1) : 2,3,4,3
ReplicationPad3d(1) : 2,3,2,2,2
CircularPad1d(1) : 2,3,4
CircularPad2d((1, 2, 0, 1)) : 2,3,4,3
CircularPad3d(1) : 2,3,2,2,2
Fold(3, 2) : 2,4,4
Fold((3, 4), 2, 1, 1, 2) : 2,4,6
Unfold(2) : 2,3,4,4
Unfold((2, 3), padding=1) : 2,3,4,4
AdaptiveLogSoftmaxWithLoss(8, 10, [1, 2]) : 4,8 & 4n
AdaptiveLogSoftmaxWithLoss(16, 10, [3, 6]) : 4,16 & 4n
AdaptiveLogSoftmaxWithLoss(8, 10, [3], 2.0, True) : 8 & n
RNN(3, 4) : 5,2,3 / 5,3 / 5,2,3 & 1,2,4 / 5,3 & 1,4
RNN(3, 4, 2, nonlinearity='relu', bias=False, bidirectional=True) : 5,2,3
RNN(3, 4, 2, 'relu', True, True, 0.3) : 2,5,3 / 2,5,3 & 2,2,4 / 5,3
LSTM(3, 4) : 5,2,3 / 5,3
LSTM(3, 4, num_layers=2, dropout=0.5) : 5,2,3
LSTM(3, 4, 2, False, True, 0.3, True) : 2,5,3 / 5,3
LSTM(3, 4, proj_size=2, batch_first=True) : -
LSTM(3, 4, dtype=torch.float64) : -
GRU(3, 4) : 5,2,3 / 5,3 / 5,2,3 & 1,2,4
GRU(3, 4, 2, bidirectional=True, batch_first=True, dropout=0.4) : 2,5,3 / 2,5,3 & 4,2,4
GRU(3, 4, bias=False) : 5,2,3
RNNBase('GRU', 3, 4, 2) : -
RNNCellBase(3, 4, True, 5) : -
RNNCell(3, 4) : 2,3 / 3 / 2,3 & 2,4 / 3 & 4
RNNCell(3, 4, False, 'relu') : 2,3
LSTMCell(3, 4) : 2,3 / 3
LSTMCell(3, 4, False) : 2,3
GRUCell(3, 4) : 2,3 / 3 / 2,3 & 2,4
GRUCell(3, 4, False) : 2,3
LazyLinear(3) : 4,2
LazyLinear(3, False) : 4,2
LazyConv1d(3, 2) : 2,3,4
LazyConv2d(3, 3, 1, 'same', bias=False) : 2,3,4,4
LazyConv3d(3, 2) : 2,3,4,4,4
LazyConvTranspose1d(3, 2) : 2,3,4
LazyConvTranspose2d(3, 2, 2) : 2,3,4,4
LazyConvTranspose3d(3, 2) : 2,3,2,2,2
LazyBatchNorm1d() : 4,3
LazyBatchNorm2d(affine=False) : 4,3,2,2
LazyBatchNorm3d() : 4,3,2,2,2
LazyInstanceNorm1d() : 4,3,6
LazyInstanceNorm2d() : 4,3,2,2
LazyInstanceNorm3d() : 4,3,2,2,2
"""

LINES = [line.rpartition(" : ")[::2] for line in _TABLE.strip().split("\n")]
CONSTRUCTIONS = [construction for construction, _ in LINES]
CALLS = [(text, shapes.strip()) for text, calls in LINES if calls != "-" for shapes in calls.split(" / ")]


def build(torch: Any, construction: str) -> Any:
    """Returns the layer of a construction, made by either library."""
    return eval(f"nn.{construction}", {"nn": torch.nn, "torch": torch})


def inputs(torch: Any, shapes: str) -> list[Any]:
    """Returns the inputs of a call; those of real numbers require grad."""
    return [_input(torch, shape.strip(), place) for place, shape in enumerate(shapes.split("&"))]


def _input(torch: Any, text: str, place: int) -> Any:
    kind = text[-1] if text[-1].isalpha() else ""
    sizes = text.rstrip("inps")
    shape = tuple(int(size) for size in sizes.split(",")) if sizes else ()
    if kind in ("i", "n"):
        return torch.randint(3, shape)
    numbers = torch.rand(shape) * 0.9 + 0.05 if kind else torch.randn(shape)
    if kind == "s":
        return (numbers > 0.5).float() * 2 - 1
    if kind == "p" and place > 0:
        return numbers
    return numbers.requires_grad_()
