"""Versions, as `torch.version`."""

__all__ = ["cuda", "hip", "torch"]

__version__ = "0.1.0.dev0"
torch = "2.13.0"
"""The version of PyTorch whose behaviour this package follows."""
cuda: str | None = None
hip: str | None = None
git_version = ""
debug = False
