"""Where PyTorch itself is off: functions whose results in double precision carry constants rounded to single."""

from __future__ import annotations

__all__ = ["QUIRKS"]

QUIRKS: dict[tuple[str, str], str] = {
    ("nn.functional.hardsigmoid", "float64"): "PyTorch's derivative multiplies by 1/6 rounded to float32",
    ("celu", "float64"): "PyTorch's derivative multiplies by 1/alpha rounded to float32",
    ("nn.functional.binary_cross_entropy", "float64"): "PyTorch adds 1e-12 to the denominator of the second derivative",
}
"""(function, dtype) -> reason. Such a case is compared with float32's tolerance; a test sees that it has to be."""
