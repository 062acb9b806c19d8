"""The engine: the array API standard's own strict namespace, which refuses whatever the standard leaves open."""

from __future__ import annotations

from typing import ClassVar

import array_api_strict
from torchplug_spec import ArrayAPIBackend

__all__ = ["ArrayApiStrictBackend"]


class ArrayApiStrictBackend(ArrayAPIBackend):
    """array_api_strict arrays on its CPU device. Slow by intent: it shows what torchplug asks of the standard alone."""

    name: ClassVar[str] = "array-api-strict"
    capabilities: ClassVar[frozenset[str]] = frozenset({"complex", "float64"})
    xp = array_api_strict
