"""Training runs: the losses of small networks, step by step from one seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from torchplug_conformance.recipes.running import Floats, Whole, arrays_for, plain

__all__ = ["TRAINING", "run_training"]

STEPS = 50


def _mlp(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 4))


def _cnn(torch: Any) -> Any:
    nn = torch.nn
    first = (nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2))
    second = (nn.Conv2d(6, 8, 3), nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 4))
    return nn.Sequential(*first, *second)


def _recurrent(torch: Any) -> Any:
    class Reader(torch.nn.Module):  # type: ignore[misc]  # torch is whichever library runs the recipe
        """A gated recurrent network written out in layers."""

        def __init__(self) -> None:
            super().__init__()
            self.gate = torch.nn.Linear(5 + 12, 12)
            self.candidate = torch.nn.Linear(5 + 12, 12)
            self.head = torch.nn.Linear(12, 4)

        def forward(self, x: Any) -> Any:
            state = torch.zeros(x.shape[0], 12)
            for step in x.unbind(1):
                seen = torch.cat([step, state], 1)
                kept = torch.sigmoid(self.gate(seen))
                state = kept * state + (1 - kept) * torch.tanh(self.candidate(seen))
            return self.head(state)

    return Reader()


def _attention(torch: Any) -> Any:
    class Block(torch.nn.Module):  # type: ignore[misc]  # torch is whichever library runs the recipe
        """Causal attention of two heads and a gated layer, each beside a shortcut, norms first."""

        def __init__(self) -> None:
            super().__init__()
            self.norms = torch.nn.ModuleList([torch.nn.LayerNorm(8), torch.nn.LayerNorm(8)])
            self.mix, self.join = torch.nn.Linear(8, 24, bias=False), torch.nn.Linear(8, 8)
            self.layers = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 8))

        def forward(self, x: Any) -> Any:
            parts = self.mix(self.norms[0](x)).chunk(3, dim=-1)
            heads = [part.unflatten(-1, (2, 4)).transpose(1, 2) for part in parts]
            seen = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
            x = x + self.join(seen.transpose(1, 2).flatten(2))
            return x + self.layers(self.norms[1](x))

    class Reader(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.table, self.places = torch.nn.Embedding(9, 8), torch.nn.Embedding(6, 8)
            self.body = torch.nn.Sequential(Block(), Block())
            self.head = torch.nn.Linear(8, 4)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(self.table(x) + self.places(torch.arange(x.shape[1])))[:, -1])

    return Reader()


def _lstm(torch: Any) -> Any:
    class Reader(torch.nn.Module):  # type: ignore[misc]  # torch is whichever library runs the recipe
        def __init__(self) -> None:
            super().__init__()
            self.memory = torch.nn.LSTM(5, 12, batch_first=True)
            self.head = torch.nn.Linear(12, 4)

        def forward(self, x: Any) -> Any:
            return self.head(self.memory(x)[0][:, -1])

    return Reader()


def _transformer(torch: Any) -> Any:
    class Reader(torch.nn.Module):  # type: ignore[misc]  # torch is whichever library runs the recipe
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(9, 8)
            layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
            self.body = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = torch.nn.Linear(8, 4)

        def forward(self, x: Any) -> Any:
            return self.head(self.body(self.table(x)).mean(dim=1))

    return Reader()


TRAINING: dict[str, tuple[Callable[[Any], Any], Any, str, dict[str, Any], tuple[str, ...]]] = {
    "mlp-sgd": (_mlp, Floats(64, 12), "SGD", {"lr": 0.1, "momentum": 0.9}, ("Dropout",)),
    "mlp-adam": (_mlp, Floats(64, 12), "Adam", {"lr": 0.01}, ("Dropout",)),
    "cnn-sgd": (_cnn, Floats(32, 1, 10, 10), "SGD", {"lr": 0.05, "momentum": 0.9}, ("Conv2d",)),
    "cnn-adamw": (_cnn, Floats(32, 1, 10, 10), "AdamW", {"lr": 0.01}, ("Conv2d",)),
    "recurrent-adam": (_recurrent, Floats(32, 7, 5), "Adam", {"lr": 0.02}, ("Linear",)),
    "attention-adamw": (_attention, Whole(9, 32, 6), "AdamW", {"lr": 0.01}, ("LayerNorm", "Embedding")),
    "rnn-adam": (_lstm, Floats(32, 7, 5), "Adam", {"lr": 0.02}, ("LSTM",)),
    "transformer-adam": (_transformer, Whole(9, 32, 6), "Adam", {"lr": 0.005}, ("TransformerEncoderLayer",)),
}
"""Name -> (network, inputs, optimizer, its options, the classes of torch.nn it stands on)."""


def run_training(torch: Any, name: str) -> dict[str, Any]:
    """Returns the loss of every step, batches shuffled and parameters made from one seed, and the final state's sums."""
    make, inputs, kind, options, _ = TRAINING[name]
    torch.manual_seed(1)
    network = make(torch)
    optimizer = getattr(torch.optim, kind)(network.parameters(), **options)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 20, gamma=0.5)
    examples, targets = arrays_for(name, (inputs, Whole(4, inputs.shape[0])))
    x, y = torch.tensor(examples), torch.tensor(targets)
    losses = []
    for step in range(STEPS):
        if step % 4 == 0:
            order = torch.randperm(len(x))
        batch = order[(step % 4) * len(x) // 4 : (step % 4 + 1) * len(x) // 4]
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    sums = {key: float(np.abs(value.detach().numpy(force=True)).sum()) for key, value in network.state_dict().items()}
    return {"losses": plain(losses), "state": plain(sums)}
