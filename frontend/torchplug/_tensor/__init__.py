"""What a Tensor can do: attributes, operators, conversions; importing this package completes the class."""

from torchplug._tensor import attributes, conversion, gradient, methods, operators, storage, typed

__all__ = ["attributes", "conversion", "gradient", "methods", "operators", "storage", "typed"]
