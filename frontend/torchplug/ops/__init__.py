"""The declared functions, one family per module; importing this package fills the table of declarations."""

import importlib

FAMILIES = (
    "structure", "arithmetic", "views", "complex_views", "splitting", "creation", "from_data", "filling", "powers", "ternary",
    "exponential", "complex_numbers", "trigonometry", "rounding", "comparison", "limits", "reductions", "extremes", "moments",
    "gathering", "indexing", "masking", "scattering", "scans", "joining", "repeating", "grids", "ordering", "quantiles", "searching", "unique",
    "polynomial", "error_functions", "gamma_functions", "bessel", "special_functions", "products", "linear",
    "einsum", "norms", "triangles", "softmax", "activations", "losses", "class_losses", "margin_losses", "ctc",
    "padding", "convolution", "transposed_convolution", "folding", "pooling", "adaptive_pooling", "resampling",
    "grid_sampling", "normalization", "feature_normalization", "embedding", "randomness", "dropout", "attention",
    "predicates", "transfer", "optimizers",
)  # fmt: skip

for _family in FAMILIES:
    importlib.import_module(f"torchplug.ops.{_family}")
