#!/usr/bin/env python3
"""Records what PyTorch gives for the recipes of the conformance suite: plugins/torchplug_conformance/recorded/*.json.

Run it from the clone with PyTorch installed, in the version pyproject.toml names for tests; commit what it writes.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("frontend", "backends", "plugins")]
TARGET = ROOT / "plugins" / "torchplug_conformance" / "recorded"


def main() -> None:
    import torch

    from torchplug_conformance.recipes import misuse, modules, optimizers, samplers, schedulers, streams, training

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    tables: dict[str, tuple[Any, Callable[[Any, str], Any]]] = {
        "misuse": (misuse.MISUSES, misuse.run_misuse),
        "modules": (modules.MODULES, modules.run_module),
        "optimizers": (optimizers.OPTIMIZERS, optimizers.run_optimizer),
        "schedulers": (schedulers.SCHEDULERS, schedulers.run_scheduler),
        "samplers": (samplers.SAMPLERS, samplers.run_sampler),
        "streams": (streams.STREAMS, streams.run_stream),
        "training": (training.TRAINING, training.run_training),
    }
    for name, (table, run) in tables.items():
        write(
            name, {"pytorch": torch.__version__.partition("+")[0], "numbers": {key: run(torch, key) for key in table}}
        )
    save_files(torch)


def write(name: str, content: dict[str, Any]) -> None:
    """Writes one JSON file, a line per recipe."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in content["numbers"].items()
    ]
    text = f'{{"pytorch": {json.dumps(content["pytorch"])}, "numbers": {{\n' + ",\n".join(lines) + "\n}}\n"
    (TARGET / f"{name}.json").write_text(text, encoding="utf-8")
    print(f"{name}.json: {len(lines)} recipes, {len(text) // 1024} KiB")


def save_files(torch: Any) -> None:
    """Writes files as PyTorch saves them: checkpoints in both of its formats, and tensors of every type."""
    from safetensors.torch import save

    from torchplug_conformance.recipes.files import checkpoint, every_type

    types = every_type(torch)
    keep("checkpoint.pt", packed(torch, checkpoint(torch)))
    keep("legacy.pt", packed(torch, checkpoint(torch), _use_new_zipfile_serialization=False))
    keep("types.pt", packed(torch, types))
    keep("types.safetensors", save({name: tensor for name, tensor in types.items() if name != "complex128"}))


def packed(torch: Any, value: Any, **options: bool) -> bytes:
    """Returns the bytes that `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def keep(name: str, data: bytes) -> None:
    """Writes one file."""
    (TARGET / name).write_bytes(data)
    print(f"{name}: {len(data) // 1024} KiB")


if __name__ == "__main__":
    main()
