"""Every kind of view, written through: the base, the view and its siblings show what PyTorch's would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import torchplug
from torchplug._core.tensor import Tensor
from torchplug_conformance.calls import Outcome, attempt
from torchplug_conformance.cases import Case, Subject
from torchplug_conformance.parts.forward import compare
from torchplug_conformance.reference import REFERENCE, on_backend
from torchplug_conformance.tolerance import Tolerance
from torchplug_spec import dtypes as dt

__all__ = ["VIEWS", "WRITES", "view_cases"]

VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "index": lambda x: x[1],
    "slice": lambda x: x[1:, :, 1:3],
    "step": lambda x: x[::2, ::2],
    "ellipsis": lambda x: x[..., 0],
    "new_axis": lambda x: x[None, 1],
    "select": lambda x: x.select(1, 2),
    "narrow": lambda x: x.narrow(2, 1, 2),
    "transpose": lambda x: x.transpose(0, 2),
    "permute": lambda x: x.permute(2, 0, 1),
    "t": lambda x: x[0].t(),
    "movedim": lambda x: x.movedim(0, 2),
    "view": lambda x: x.view(6, 6),
    "reshape": lambda x: x.reshape(4, -1),
    "flatten": lambda x: x.flatten(),
    "unflatten": lambda x: x.unflatten(0, (1, 3)),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "split": lambda x: x.split(2, dim=1)[0],
    "chunk": lambda x: x.chunk(2, dim=2)[1],
    "unbind": lambda x: x.unbind(0)[2],
    "diagonal": lambda x: x[0].diagonal(),
    "unfold": lambda x: x.unfold(2, 2, 2),
    "as_strided": lambda x: x.as_strided((3, 2), (12, 5), 2),
    "detach": lambda x: x.detach(),
    "view_of_view": lambda x: x.permute(1, 2, 0)[1:, :, 1].t(),
}
"""Ways to look into a tensor of shape (3, 4, 3)."""

WRITES: dict[str, Callable[[Tensor], Any]] = {
    "add_": lambda view: view.add_(100),
    "zero_": lambda view: view.zero_(),
    "copy_": lambda view: view.copy_(torchplug.arange(view.numel()).reshape(view.shape)),
    "setitem": lambda view: view.__setitem__(0, 7.0),
    "mask": lambda view: view.__setitem__(view > 20, -1.0),
}
"""Ways to write a tensor in place."""


def view_cases(subject: Subject) -> Iterator[Case]:
    """Yields a case for every kind of view written in every way."""
    for view in VIEWS:
        for write in WRITES:
            lines = (
                "from torchplug_conformance.parts.views import on_backend, written_through",
                f'with on_backend("{subject.name}"):',
                f'    print(written_through("{view}", "{write}"))',
            )
            yield Case("aliasing", f"views-{view}-{write}", partial(_check, subject, view, write), lines)


def _check(subject: Subject, view: str, write: str) -> Iterator[str]:
    yield from compare(
        subject, _run(subject.name, view, write), _run(REFERENCE, view, write), Tolerance(dt.float32, ())
    )


def _run(backend: str, view: str, write: str) -> Outcome:
    with on_backend(backend):
        return attempt(lambda: written_through(view, write))


def written_through(view: str, write: str) -> tuple[Tensor, Tensor, Tensor, int]:
    """Returns a base after a write through its view, the view, an older view, and the base's version."""
    base = torchplug.tensor(np.arange(36, dtype=np.float32).reshape(3, 4, 3))
    sibling = base[0]
    shown = VIEWS[view](base)
    WRITES[write](shown)
    return base, shown, sibling, base._version
