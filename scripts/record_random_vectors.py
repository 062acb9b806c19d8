"""Records what PyTorch draws, so that the host generator is held to it where PyTorch is not installed.

Run with PyTorch installed: `python scripts/record_random_vectors.py`. Writes tests/core/vectors/random.json.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "tests" / "core" / "vectors" / "random.json"

# Longer results are recorded as a digest of their bytes, which only fits draws that are equal bit for bit.
LONGEST = 64

RATES = {"array": [0.0, 0.5, 3.0, 9.5, 11.0, 80.0], "dtype": "float32"}
WEIGHTS = {"array": [[0.1, 0.2, 0.3, 0.4], [4.0, 0.0, 1.0, 0.5]], "dtype": "float32"}
CHANCES = {"array": [0.0, 0.25, 0.5, 0.75, 1.0], "dtype": "float32"}
WIDE_CHANCES = {"array": [0.0, 0.25, 0.5, 0.75, 1.0], "dtype": "float64"}

# Name: seed, then the draws made on one stream, as methods of HostGenerator with their arguments.
PROGRAMS: dict[str, tuple[int, list[list[Any]]]] = {
    "rand float32": (0, [["rand", [2, 3], "float32"], ["rand", [4097], "float32"]]),
    "rand float64": (0, [["rand", [2, 3], "float64"], ["rand", [1000], "float64"]]),
    "rand float16": (0, [["rand", [2, 3], "float16"], ["rand", [1000], "float16"]]),
    "rand bfloat16": (0, [["rand", [2, 3], "bfloat16"], ["rand", [1000], "bfloat16"]]),
    "rand complex64": (0, [["rand", [2, 3], "complex64"]]),
    "rand complex128": (0, [["rand", [2, 3], "complex128"]]),
    "rand, seed 42": (42, [["rand", [5], "float32"]]),
    "rand, seed -1": (-1, [["rand", [5], "float32"]]),
    "rand, seed 2**64 - 1": (2**64 - 1, [["rand", [5], "float32"]]),
    "rand, seed 2**32 + 5": (2**32 + 5, [["rand", [5], "float32"]]),
    "rand across the words of a block": (7, [["rand", [623], "float32"], ["rand", [3], "float64"]]),
    "uniform float32": (1, [["uniform", [6], "float32", -0.1234, 0.1234], ["uniform", [4097], "float32", 5.0, 11.0]]),
    "uniform float64": (1, [["uniform", [6], "float64", -0.1234, 0.1234], ["uniform", [1000], "float64", 5.0, 11.0]]),
    "uniform float16": (1, [["uniform", [6], "float16", -0.5, 2.0], ["uniform", [1000], "float16", 0.0, 1.0]]),
    "randn of 1, 1, 2": (2, [["randn", [1], "float32"], ["randn", [1], "float32"], ["randn", [2], "float32"]]),
    "randn of 15": (2, [["randn", [15], "float32"], ["randn", [15], "float64"]]),
    "randn of 16": (2, [["randn", [16], "float32"], ["randn", [16], "float64"]]),
    "randn of 17": (2, [["randn", [17], "float32"], ["randn", [17], "float64"]]),
    "randn of 5 x 7": (3, [["randn", [5, 7], "float32"], ["randn", [5, 7], "float64"]]),
    "randn bfloat16": (3, [["randn", [3], "bfloat16"], ["randn", [33], "bfloat16"], ["randn", [2], "bfloat16"]]),
    "randn float16": (3, [["randn", [3], "float16"], ["randn", [33], "float16"], ["randn", [2], "float16"]]),
    "randn complex64": (3, [["randn", [3], "complex64"], ["randn", [9], "complex64"]]),
    "normal": (4, [["normal", [7], "float32", 1.0, 0.02], ["normal", [40], "float32", -2.0, 0.5]]),
    "randint": (5, [["randint", [10], 0, 10, "int64"], ["randint", [1000], -7, 93, "int32"]]),
    "randint of 64 bits": (5, [["randint", [10], 0, 2**40, "int64"], ["randint", [1000], 0, 2**28, "int64"]]),
    "random_": (6, [["random_", [], "int64"], ["random_", [9], "uint8"], ["random_", [9], "float32"]]),
    "random_ from a bound": (6, [["random_", [9], "int8", -5, None], ["random_", [9], "int64", -(2**63), None]]),
    "randperm": (8, [["randperm", 10, "int64"], ["randperm", 64, "int32"], ["randperm", 4097, "int64"]]),
    "randperm, seed 0": (0, [["randperm", 600, "int64"], ["randperm", 60_000, "int64"]]),
    "bernoulli": (9, [["bernoulli", 0.3, [12], "float32"], ["bernoulli", 0.5, [1000], "bool"]]),
    "bernoulli of an array": (9, [["bernoulli", CHANCES, [5], "float32"], ["bernoulli", WIDE_CHANCES, [5], "float64"]]),
    "dropout": (10, [["dropout_mask", [3, 4], 0.5, "float32"], ["dropout_mask", [1000], 0.1, "float32"]]),
    "multinomial": (11, [["multinomial", WEIGHTS, 8, True], ["multinomial", WEIGHTS, 2, False]]),
    "multinomial of one": (11, [["multinomial", WEIGHTS, 1, True], ["multinomial", WEIGHTS, 1, False]]),
    "exponential": (12, [["exponential", [8], "float32", 1.0], ["exponential", [20], "float64", 0.25]]),
    "geometric": (12, [["geometric", [8], "float32", 0.3], ["geometric", [8], "int64", 0.05]]),
    "log_normal": (12, [["log_normal", [3], "float32", 0.0, 0.5], ["log_normal", [20], "float64", 1.0, 0.25]]),
    "cauchy": (12, [["cauchy", [8], "float32", 0.0, 1.0], ["cauchy", [20], "float64", -1.0, 2.0]]),
    "poisson": (13, [["poisson", RATES], ["rand", [2], "float32"]]),
    "a linear layer and a shuffle": (
        0,
        [
            ["uniform", [4, 3], "float32", -(3**-0.5), 3**-0.5],
            ["uniform", [4], "float32", -(3**-0.5), 3**-0.5],
            ["random_", [], "int64"],
            ["randperm", 60, "int64"],
            ["dropout_mask", [4, 4], 0.2, "float32"],
            ["randn", [3], "float32"],
            ["randn", [64], "float32"],
            ["randn", [2], "float32"],
        ],
    ),
}


def result(array: Any) -> dict[str, Any]:
    """Returns the JSON form of a drawn array: dtype, shape, and its values or their digest."""
    record: dict[str, Any] = {"dtype": array.dtype.name, "shape": list(array.shape)}
    if array.size > LONGEST:
        return record | {"sha256": hashlib.sha256(array.tobytes()).hexdigest()}
    if array.dtype.kind == "c":
        array = array.reshape(-1).view(array.real.dtype)
    elif array.dtype.name == "bfloat16":
        array = array.astype("float32")
    return record | {"values": array.reshape(-1).tolist()}


def record() -> dict[str, Any]:
    """Returns every program with PyTorch's results and the state it leaves PyTorch's generator in."""
    sys.path.insert(0, str(ROOT / "tests" / "core"))
    import numpy as np
    import torch
    import torch_draws

    programs = []
    for name, (seed, calls) in PROGRAMS.items():
        generator = torch.Generator().manual_seed(seed)
        results = []
        for method, *args in calls:
            given = [np.array(x["array"], x["dtype"]) if isinstance(x, dict) else x for x in args]
            results.append(result(torch_draws.draw(generator, method, *given)))
        # The last bits of the spare normal number, at bytes 5016 to 5040, are the mathematical library's.
        state = np.delete(generator.get_state().numpy(), slice(5016, 5040))
        digest = hashlib.sha256(state.tobytes()).hexdigest()
        programs.append({"name": name, "seed": seed, "calls": calls, "results": results, "state": digest})
    return {"torch": torch.__version__, "programs": programs}


def main() -> None:
    recorded = record()
    lines = ",\n".join(json.dumps(program) for program in recorded["programs"])
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(f'{{"torch": "{recorded["torch"]}", "programs": [\n{lines}\n]}}\n')
    print(f"{len(recorded['programs'])} programs recorded from PyTorch {recorded['torch']}")


if __name__ == "__main__":
    main()
