"""How a tensor prints: the text of `repr(tensor)` and the options that shape it, as PyTorch has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import floor, inf, isfinite, prod
from typing import TypedDict

import numpy as np

__all__ = ["PRINT_OPTS", "PrintOptions", "format_tensor", "get_printoptions", "printoptions", "set_printoptions"]


class PrintOptions(TypedDict):
    """What `get_printoptions` returns: a copy of the options, one entry each."""

    precision: int
    threshold: float
    edgeitems: int
    linewidth: int
    sci_mode: bool | None


class _CurrentOptions:
    """The options in force in the whole process, shared by all threads as PyTorch's are."""

    __slots__ = ("edgeitems", "linewidth", "precision", "sci_mode", "threshold")

    def __init__(self) -> None:
        self.precision: int = 4
        self.threshold: float = 1000
        self.edgeitems: int = 3
        self.linewidth: int = 80
        self.sci_mode: bool | None = None


PRINT_OPTS = _CurrentOptions()

# precision, threshold, edgeitems, linewidth
_PROFILES: dict[str, tuple[int, float, int, int]] = {
    "default": (4, 1000, 3, 80),
    "short": (2, 1000, 2, 80),
    "full": (4, inf, 3, 80),
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors print from now on; an option left out keeps its value, except `sci_mode`.

    `precision` digits follow the point (4); more than `threshold` elements (1000) are shown as the first and last
    `edgeitems` (3) of each dimension; lines break before `linewidth` characters (80); `sci_mode` forces scientific
    notation on or off, and goes back to automatic in every call that does not give it. `profile` ("default", "short"
    or "full") is applied first. As in PyTorch, nothing is checked here: an unknown profile changes nothing, and a
    value that makes no sense raises when a tensor is next printed.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.set_printoptions.html
    """
    options = PRINT_OPTS
    # PyTorch takes any object as profile and ignores those it does not know, unhashable ones included.
    if isinstance(profile, str) and profile in _PROFILES:
        options.precision, options.threshold, options.edgeitems, options.linewidth = _PROFILES[profile]
    if precision is not None:
        options.precision = precision
    if threshold is not None:
        options.threshold = threshold
    if edgeitems is not None:
        options.edgeitems = edgeitems
    if linewidth is not None:
        options.linewidth = linewidth
    options.sci_mode = sci_mode


def get_printoptions() -> PrintOptions:
    """Returns a copy of the current options, ready for `set_printoptions(**options)`."""
    options = PRINT_OPTS
    return {
        "precision": options.precision,
        "threshold": options.threshold,
        "edgeitems": options.edgeitems,
        "linewidth": options.linewidth,
        "sci_mode": options.sci_mode,
    }


@contextmanager
def printoptions(
    *,
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> Iterator[None]:
    """Sets the options of `set_printoptions` inside a `with` block or a decorated function, then puts all back."""
    before = get_printoptions()
    try:
        set_printoptions(precision, threshold, edgeitems, linewidth, profile, sci_mode)
        yield
    finally:
        set_printoptions(**before)


def format_tensor(
    array: np.ndarray,
    *,
    dtype_name: str,
    default_dtype_name: str = "float32",
    device: str | None,
    requires_grad: bool,
    grad_fn_name: str | None,
    prefix: str = "tensor(",
    extras: tuple[str, ...] = (),
) -> str:
    """Returns the text that PyTorch prints for a tensor with these elements, from `prefix` to the closing bracket.

    `array` holds the elements in any shape and in the NumPy or ml_dtypes type of `dtype_name` ("float32"); elements
    that a summary leaves out are never read. `device` None is not printed. `extras` ("layout=torch.sparse_coo") stand
    behind the dtype and before the gradient. `grad_fn_name` ("AddBackward0") wins over `requires_grad`.
    """
    suffixes = [] if device is None else [f"device='{device}'"]
    if _prints_size(array):
        suffixes.append(f"size={array.shape}")
    if _prints_dtype(array.size, dtype_name, default_dtype_name):
        suffixes.append(f"dtype=torch.{dtype_name}")
    suffixes += extras
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    return _append_suffixes(prefix + _elements(array, len(prefix)), suffixes, len(prefix))


def _prints_size(array: np.ndarray) -> bool:
    """Says whether the brackets alone would not tell the shape."""
    if array.size == 0:
        return array.ndim != 1
    return PRINT_OPTS.edgeitems == 0


def _prints_dtype(size: int, dtype_name: str, default_dtype_name: str) -> bool:
    """Says whether the elements alone would not tell the dtype; an empty tensor tells only the default one."""
    if dtype_name == default_dtype_name:
        return False
    default_complex = "complex128" if default_dtype_name == "float64" else "complex64"
    return size == 0 or dtype_name not in ("int64", "bool", default_complex)


def _append_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """Returns `text` with its suffixes and closing bracket; a suffix that does not fit starts a line."""
    linewidth = PRINT_OPTS.linewidth
    # PyTorch keeps two columns free on the line where the elements end, and none on the lines that follow it.
    length = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if length + len(suffix) + 2 > linewidth:
            text += ",\n" + " " * indent + suffix
            length = indent + len(suffix)
        else:
            text += ", " + suffix
            length += len(suffix) + 2
    return text + ")"


def _elements(array: np.ndarray, indent: int) -> str:
    """Returns the bracketed elements, or the bare one of a 0-d array, for a text that starts in column `indent`."""
    if array.size == 0:
        return "[]"
    elided: tuple[bool, ...] = (False,) * array.ndim
    if array.size > PRINT_OPTS.threshold and array.ndim > 0:
        if PRINT_OPTS.edgeitems == 0:
            return "[...]"
        array, elided = _summarised(array, PRINT_OPTS.edgeitems)
    texts, width = _element_texts(array)
    if array.ndim == 0:
        return texts[0]
    return _bracketed(texts, array.shape, elided, width, indent)


def _summarised(array: np.ndarray, edgeitems: int) -> tuple[np.ndarray, tuple[bool, ...]]:
    """Returns a copy of both ends of each long dimension side by side, and which dimensions were cut.

    One gather for all dimensions together: cutting them one after the other would copy whole slabs of the array.
    """
    elided = tuple(size > 2 * edgeitems for size in array.shape)
    if not any(elided):
        return array, elided
    kept = [
        [*range(size)[:edgeitems], *range(size)[-edgeitems:]] if cut else range(size)
        for size, cut in zip(array.shape, elided, strict=True)
    ]
    return array[np.ix_(*kept)], elided


def _bracketed(texts: list[str], shape: tuple[int, ...], elided: tuple[bool, ...], width: int, indent: int) -> str:
    """Returns the nested brackets around `texts`, the elements of an array of `shape` in row-major order."""
    if len(shape) == 1:
        return _vector(texts, elided[0], width, indent)
    step = prod(shape[1:])
    parts = [
        _bracketed(texts[row * step : (row + 1) * step], shape[1:], elided[1:], width, indent + 1)
        for row in range(shape[0])
    ]
    if elided[0]:
        parts.insert(len(parts) // 2, "...")
    separator = "," + "\n" * (len(shape) - 1) + " " * (indent + 1)
    return "[" + separator.join(parts) + "]"


def _vector(texts: list[str], elided: bool, width: int, indent: int) -> str:
    """Returns one innermost row, broken into lines by the width that an element declares, not by its text's."""
    if elided:
        middle = len(texts) // 2
        texts = [*texts[:middle], " ...", *texts[middle:]]
    per_line = max(1, floor((PRINT_OPTS.linewidth - indent) / (width + 2)))
    lines = [", ".join(texts[start : start + per_line]) for start in range(0, len(texts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _element_texts(array: np.ndarray) -> tuple[list[str], int]:
    """Returns the text of every element in row-major order, aligned, and the width they were aligned to."""
    kind = array.dtype.kind
    if kind in "biu":
        texts = [str(value) for value in array.ravel().tolist()]
        width = max(map(len, texts), default=1)
    elif kind == "c":
        return _complex_texts(array)
    else:
        texts, width = _float_texts(array)
    return [text.rjust(width) for text in texts], width


def _complex_texts(array: np.ndarray) -> tuple[list[str], int]:
    """Returns the texts "real+imagj" and their width; the parts choose their notation apart."""
    reals, real_width = _float_texts(array.real)
    imags, imag_width = _float_texts(array.imag)
    texts = [
        f"{real.rjust(real_width)}{'' if imag.startswith('-') else '+'}{imag}j"
        for real, imag in zip(reals, imags, strict=True)
    ]
    return texts, real_width + imag_width + 1


def _float_texts(array: np.ndarray) -> tuple[list[str], int]:
    """Returns the text of every element, not aligned, and the width of the widest that is finite and not zero.

    Zeros, infinities and NaNs count neither for the width nor for the notation, as in PyTorch.
    """
    # A signalling NaN makes NumPy's cast warn; it prints as any NaN does.
    with np.errstate(invalid="ignore"):
        values = array.ravel().astype(np.float64)
    counted = np.isfinite(values) & (values != 0)
    specification, point = _float_notation(np.abs(values[counted]))
    texts = [format(value, specification) + (point if isfinite(value) else "") for value in values.tolist()]
    widths = [len(text) for text, counts in zip(texts, counted.tolist(), strict=True) if counts]
    return texts, max(widths, default=1)


def _float_notation(magnitudes: np.ndarray) -> tuple[str, str]:
    """Returns the format specification for elements of these magnitudes (finite, not zero) and what follows each.

    Whole numbers print as "3."; a range that fixed notation shows badly turns all to scientific notation.
    """
    if magnitudes.size == 0:
        return ".0f", "."
    whole = bool((np.ceil(magnitudes) == magnitudes).all())
    scientific = PRINT_OPTS.sci_mode
    if scientific is None:
        # As Python floats, whose quotient overflows to infinity without a warning.
        least, most = float(magnitudes.min()), float(magnitudes.max())
        scientific = most / least > 1000 or most > 1e8 or least < 1e-4
    if scientific:
        return f".{PRINT_OPTS.precision}e", ""
    return (".0f", ".") if whole else (f".{PRINT_OPTS.precision}f", "")
