"""Finds plugins by reading installed metadata; imports none of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = [
    "BACKENDS",
    "BUILT_IN",
    "EXTENSIONS",
    "INSTALL_HINTS",
    "LIBRARIES",
    "OWN",
    "PLUGIN_HINTS",
    "Candidate",
    "Catalogue",
    "built_in",
    "is_valid_name",
    "scan",
    "with_version",
]

BACKENDS = "torchplug.backends"
"""Entry-point group of distributions that bring a backend."""

EXTENSIONS = "torchplug.extensions"
"""Entry-point group of distributions that bring kernels or ops for backends of others."""

OWN = "torchplug"
"""The distribution the engines below belong to."""

BUILT_IN: dict[str, str] = {
    "numpy": "torchplug_numpy",
    "jax": "torchplug_jax",
    "cupy": "torchplug_cupy",
    "strict": "torchplug_strict",
}
"""The engines of this distribution, known without metadata: found from source folders too, and at no cost."""

LIBRARIES: dict[str, str] = {"jax": "jax", "cupy": "cupy"}
"""The optional array library each of them stands on."""

INSTALL_HINTS: dict[str, str] = {
    "numpy": "pip install torchplug",
    "jax": "pip install 'torchplug[jax]'",
    "cupy": "pip install 'torchplug[cupy-cuda12]' (or cupy-cuda13, whichever your driver supports)",
    "strict": "pip install torchplug",
    "mlx": "pip install torchplug-mlx",
    "array-api-strict": "pip install torchplug-array-api-strict",
}
"""How to get each backend known to us, for the message that says it is missing."""

PLUGIN_HINTS: dict[str, str] = {"numba": "pip install torchplug-numba"}
"""The same for plugins that extend backends of others."""

_VALID_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Candidate(NamedTuple):
    """A plugin as its metadata describes it: `value` is "module:attribute", `fault` says why it is refused unread."""

    name: str
    value: str
    distribution: str = ""
    version: str = ""
    kind: str = "backend"
    fault: str = ""
    remedy: str = ""

    @property
    def origin(self) -> str:
        """Returns who brings it, as "distribution version"."""
        return f"{self.distribution} {self.version}".strip()


class Catalogue(NamedTuple):
    """All plugins one scan found; `refused` holds those that may not use the name they claim."""

    backends: dict[str, Candidate]
    extensions: dict[str, Candidate]
    refused: tuple[Candidate, ...]


def is_valid_name(name: object) -> bool:
    """Returns whether `name` is a string of lower case letters, digits, '-' and '_', the first not a sign."""
    return isinstance(name, str) and _VALID_NAME.fullmatch(name) is not None


def built_in(name: str) -> Candidate:
    """Returns the engine `name` of this distribution, its version not read yet; KeyError if it is not one."""
    return Candidate(name, _own_value(name), OWN)


def with_version(candidate: Candidate) -> Candidate:
    """Returns `candidate` with the version of its distribution, "" when it runs from source folders."""
    if candidate.version or candidate.distribution != OWN:
        return candidate
    import importlib.metadata

    try:
        return candidate._replace(version=importlib.metadata.version(OWN))
    except Exception:  # not installed, or metadata damaged: the engines work either way
        return candidate


def scan() -> Catalogue:
    """Reads the metadata of all installed distributions, and no module."""
    backends, false_claims = _by_name(_entries(BACKENDS))
    impostors = [_impostor(backends.pop(name)) for name in BUILT_IN if name in backends]
    extensions, false_names = _by_name(_entries(EXTENSIONS))
    own = {name: built_in(name) for name in BUILT_IN}
    return Catalogue({**own, **backends}, extensions, (*impostors, *false_claims, *false_names))


def _by_name(found: Iterator[Candidate]) -> tuple[dict[str, Candidate], list[Candidate]]:
    """Returns the one candidate for each name, and those whose name or entry point is not valid."""
    claims: dict[str, list[Candidate]] = {}
    refused = []
    for candidate in found:
        if candidate.fault:
            refused.append(candidate)
        elif candidate.value != _own_value(candidate.name):
            claims.setdefault(candidate.name, []).append(candidate)
    return {name: _settled(rivals) for name, rivals in claims.items()}, refused


def _own_value(name: str) -> str:
    return f"{BUILT_IN[name]}:plugin" if name in BUILT_IN else ""


def _settled(rivals: list[Candidate]) -> Candidate:
    if len(rivals) == 1:
        return rivals[0]
    # The first on sys.path would win silently, and that differs from machine to machine.
    rivals.sort()
    owners = ", ".join(rival.origin for rival in rivals)
    fault = f"several distributions offer the name '{rivals[0].name}': {owners}"
    return rivals[0]._replace(fault=fault, remedy="uninstall all but one of them")


def _impostor(candidate: Candidate) -> Candidate:
    fault = f"the name '{candidate.name}' belongs to torchplug's own engine, so this plugin is ignored"
    return candidate._replace(fault=fault, remedy=f"uninstall {candidate.distribution}")


def _entries(group: str) -> Iterator[Candidate]:
    import importlib.metadata

    kind = "backend" if group == BACKENDS else "plugin"
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        text = _read_entry_points(distribution)
        if f"[{group}]" not in text.replace(" ", ""):
            continue
        name, version = _label(distribution)
        if (key := re.sub(r"[-_.]+", "-", name).lower()) in seen:
            continue  # the same distribution again, further down sys.path
        seen.add(key)
        yield from (_judge(Candidate(*pair, name, version, kind)) for pair in _lines(text, group))


def _read_entry_points(distribution: Distribution) -> str:
    try:
        return distribution.read_text("entry_points.txt") or ""
    except (OSError, UnicodeError):
        return ""


def _label(distribution: Distribution) -> tuple[str, str]:
    try:
        return distribution.metadata["Name"] or "unnamed distribution", distribution.metadata["Version"] or ""
    except Exception:  # a damaged METADATA file raises whatever its parser does
        return "unnamed distribution", ""


def _lines(text: str, group: str) -> Iterator[tuple[str, str]]:
    # Read by hand: importlib.metadata raises on one bad line in any distribution and then nobody's plugins are found.
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line.strip("[] ") == group
        elif inside and line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _judge(candidate: Candidate) -> Candidate:
    value = candidate.value.partition("[")[0].strip()  # without extras
    if not is_valid_name(candidate.name):
        fault = f"the name {candidate.name!r} is not valid: expected lower case letters, digits, '-' and '_'"
    elif not all(part.isidentifier() for part in value.replace(":", ".", 1).split(".")):
        fault = f"the entry point {candidate.value!r} is not valid: expected 'module:attribute'"
    else:
        return candidate._replace(value=value)
    return candidate._replace(fault=fault, remedy=f"tell the authors of {candidate.distribution}, or uninstall it")
