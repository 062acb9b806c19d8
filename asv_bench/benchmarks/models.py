"""The models whose training steps are measured, written once for every library that plays PyTorch."""

from __future__ import annotations

from typing import Any

__all__ = ["gpt", "perceptron", "recurrent_net", "residual_net", "small_perceptron", "tutorial_net"]


def small_perceptron(lib: Any) -> Any:
    nn = lib.nn
    return nn.Sequential(nn.Linear(1000, 100), nn.ReLU(), nn.Linear(100, 10))


def perceptron(lib: Any) -> Any:
    nn = lib.nn
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def tutorial_net(lib: Any) -> Any:
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        nn.Linear(320, 10),
    )  # fmt: skip


def recurrent_net(lib: Any, width: int = 128, classes: int = 10) -> Any:
    """An LSTM over (batch, time, width) whose last output is classified."""
    nn = lib.nn

    class Reader(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.memory = nn.LSTM(width, width)
            self.head = nn.Linear(width, classes)

        def forward(self, x: Any) -> Any:
            return self.head(self.memory(x.transpose(0, 1))[0][-1])

    return Reader()


def residual_net(lib: Any, width: int = 32, classes: int = 10) -> Any:
    """ResNet-18 (He et al., 2016) for 32x32 images: a 3x3 stem without pooling; `width` channels in the first stage."""
    nn, relu = lib.nn, lib.nn.functional.relu

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, channels: int, made: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, made, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(made)
            self.conv2 = nn.Conv2d(made, made, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(made)
            self.shortcut = nn.Identity()
            if stride != 1 or channels != made:
                self.shortcut = nn.Sequential(nn.Conv2d(channels, made, 1, stride, bias=False), nn.BatchNorm2d(made))

        def forward(self, x: Any) -> Any:
            inner = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
            return relu(inner + self.shortcut(x))

    layers = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    channels = width
    for stage in range(4):
        made = width << stage
        layers += [Block(channels, made, 1 if stage == 0 else 2), Block(made, made, 1)]
        channels = made
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def gpt(lib: Any, vocabulary: int = 65, width: int = 128, heads: int = 4, depth: int = 4, longest: int = 128) -> Any:
    """A decoder as in nanoGPT: pre-norm blocks, fused attention, gelu; returns logits (batch * time, vocabulary)."""
    nn, functional = lib.nn, lib.nn.functional

    class Attention(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(width, 3 * width)
            self.project = nn.Linear(width, width)

        def forward(self, x: Any) -> Any:
            batch, time, _ = x.shape
            parts = self.qkv(x).split(width, dim=2)
            q, k, v = [part.view(batch, time, heads, width // heads).transpose(1, 2) for part in parts]
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.project(y.transpose(1, 2).contiguous().view(batch, time, width))

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.attention = nn.LayerNorm(width), Attention()
            self.norm2 = nn.LayerNorm(width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class Decoder(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(longest, width)
            self.blocks = nn.Sequential(*[Block() for _ in range(depth)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

        def forward(self, tokens: Any) -> Any:
            x = self.tokens(tokens) + self.places(lib.arange(tokens.shape[1]))
            return self.head(self.norm(self.blocks(x))).view(-1, vocabulary)

    return Decoder()
