"""The declared functions, one family per module; importing this package fills the table of declarations."""

import importlib

FAMILIES = (
    "structure", "arithmetic", "views", "complex_views", "splitting", "creation", "from_data", "filling", "powers", "ternary",
    "exponential", "complex_numbers", "trigonometry", "rounding", "comparison", "limits", "reductions", "extremes", "moments",
    "gathering", "indexing", "masking", "scattering", "scans", "joining", "repeating", "grids", "ordering", "quantiles", "searching", "unique",
    "polynomial", "error_functions", "gamma_functions", "bessel", "special_functions", "products", "vector_products", "linear", "added_products",
    "einsum", "norms", "triangles", "softmax", "activations", "gates", "losses", "binary_losses", "class_losses", "margin_losses", "ctc",
    "padding", "convolution", "transposed_convolution", "folding", "pooling", "average_pooling", "adaptive_pooling", "resampling",
    "grid_sampling", "normalization", "feature_normalization", "embedding", "randomness", "dropout", "attention", "packing",
    "recurrent_layers", "recurrent", "recurrent_cells",
    "predicates", "transfer", "optimizers",
)  # fmt: skip

for _family in FAMILIES:
    importlib.import_module(f"torchplug.ops.{_family}")
