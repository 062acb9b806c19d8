"""Capabilities: what a backend claims works, and what it does not claim is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import torchplug
from torchplug_conformance.cases import PARTS, Case, Subject, cases_of
from torchplug_conformance.known_failures import KnownFailures
from torchplug_conformance.parts.autograd_programs import mixed
from torchplug_conformance.parts.claims import CLAIMS
from torchplug_conformance.parts.forward import described
from torchplug_conformance.reference import on_backend
from torchplug_spec import CAPABILITIES, NotSupportedError
from torchplug_spec import dtypes as dt

__all__ = ["REFUSALS", "cases"]

REFUSALS: dict[str, dict[str, Callable[[], Any]]] = {
    "float64": {
        "zeros": lambda: torchplug.zeros(2, dtype=dt.float64),
        "to": lambda: torchplug.ones(2).to(dt.float64),
        "double": lambda: torchplug.ones(2).double(),
        "tensor": lambda: torchplug.tensor(np.ones(2)),
    },
    "complex": {
        "zeros": lambda: torchplug.zeros(2, dtype=dt.complex64),
        "to": lambda: torchplug.ones(2).to(dt.complex64),
        "complex": lambda: torchplug.complex(torchplug.ones(2), torchplug.ones(2)),
        "promotion": lambda: torchplug.ones(2) * 1j,
    },
    "float16": {
        "zeros": lambda: torchplug.zeros(2, dtype=dt.float16),
        "half": lambda: torchplug.ones(2).half(),
        "tensor": lambda: torchplug.tensor(np.ones(2, np.float16)),
        "autocast": lambda: mixed(dt.float16),
    },
    "bfloat16": {
        "zeros": lambda: torchplug.zeros(2, dtype=dt.bfloat16),
        "to": lambda: torchplug.ones(2).to(dt.bfloat16),
        "autocast": lambda: mixed(dt.bfloat16),
    },
}
"""Capability -> programs that need it."""


def cases(subject: Subject) -> Iterator[Case]:
    yield Case("capabilities", "known-names", lambda: check_names(subject))
    yield Case("capabilities", "known-failures", lambda: check_known_failures(subject))
    for capability in CAPABILITIES:
        if capability in subject.capabilities:
            if capability in CLAIMS:
                check = CLAIMS[capability]
                yield Case("capabilities", f"{capability}-works", partial(check, subject.engine.backend))
            continue
        for name, program in REFUSALS.get(capability, {}).items():
            yield Case(
                "capabilities",
                f"{capability}-refused-by-{name}",
                partial(check_refusal, subject, capability, program),
            )


def check_names(subject: Subject) -> Iterator[str]:
    """Every claimed capability is one that torchplug knows."""
    for unknown in sorted(subject.capabilities - CAPABILITIES.keys()):
        yield f"claims '{unknown}', which is none of {', '.join(CAPABILITIES)}"


def check_known_failures(subject: Subject) -> Iterator[str]:
    """Every declared failure names a case that exists."""
    known = KnownFailures(subject.engine.backend)
    if known.declared:
        keys = [case.key for part in PARTS if part != "capabilities" for case in cases_of(part, subject)]
        for pattern in known.unused(keys):
            yield f"the known failure {pattern!r} names no case"


def check_refusal(subject: Subject, capability: str, program: Callable[[], Any]) -> Iterator[str]:
    """A program that needs a capability the backend lacks gets NotSupportedError with the backend's and its name."""
    with on_backend(subject.name):
        try:
            result = program()
        except NotSupportedError as error:
            for word in (subject.name, capability):
                if f"'{word}'" not in str(error):
                    yield f"the refusal does not name '{word}': {error}"
        except Exception as error:
            yield f"raised {described(error)}, expected NotSupportedError"
        else:
            yield f"gave {result!r:.80} without the capability '{capability}', expected NotSupportedError"
