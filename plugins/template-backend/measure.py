"""Times a torchplug function with this backend's own kernels and without them, in turns.

`python measure.py softmax 1 --size 1000` calls torch.softmax(x, 1), x a (1000, 1000) tensor.
"""

from __future__ import annotations

import argparse
import timeit
from collections.abc import Callable

import torchplug as torch
from torchplug_spec.validation import marked_kernels

from torchplug_template import TemplateBackend

WITHOUT = dict.fromkeys(marked_kernels(TemplateBackend).values())
COMPOSED = type("Composed", (TemplateBackend,), {"name": "composed", **WITHOUT})
"""The same backend without its marked methods: every function that had one is its default composition."""


def timer(backend: str, function: str, arguments: list[int], size: int) -> Callable[[], float]:
    """Returns a function that gives the seconds of one call, a value of its result read to wait for what is queued."""
    call = getattr(torch, function)
    with torch.use_backend(backend):
        x = torch.rand(size, size)

    def run() -> None:
        call(x, *arguments).flatten()[0].item()

    run()
    clock = timeit.Timer(run)
    count = max(1, clock.autorange()[0] // 10)  # about 20 ms: short enough to find a moment when nothing else runs
    return lambda: clock.timeit(count) / count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("function", help="a function of torchplug that takes a tensor")
    parser.add_argument("arguments", nargs="*", type=int, help="its further arguments")
    parser.add_argument("--size", type=int, default=1000, help="rows and columns of the tensor (default: 1000)")
    args = parser.parse_args()
    torch.backends.register(COMPOSED)
    timers = [timer(name, args.function, args.arguments, args.size) for name in ("template", "composed")]
    rounds = [[measure() * 1e6 for measure in timers] for _ in range(50)]
    own, composed = map(min, zip(*rounds, strict=True))
    print(f"{args.function}: own {own:.0f} µs, composed {composed:.0f} µs, ratio {composed / own:.2f}")
