"""The declared functions, one family per module; importing this package fills the table of declarations."""

import importlib

FAMILIES = (
    "structure", "arithmetic", "views", "creation", "filling", "powers", "ternary", "exponential", "trigonometry", "rounding", "comparison", "limits", "reductions", "indexing", "joining",
    "ordering", "products", "linear", "einsum", "triangles", "scans", "softmax", "activations", "losses", "class_losses", "convolution", "pooling", "normalization", "embedding",
    "randomness", "predicates", "transfer",
)  # fmt: skip

for _family in FAMILIES:
    importlib.import_module(f"torchplug.ops.{_family}")
