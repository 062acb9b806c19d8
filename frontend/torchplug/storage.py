"""Storages under PyTorch's path `torch.storage`."""

from torchplug._tensor.storage import TypedStorage, UntypedStorage

__all__ = ["TypedStorage", "UntypedStorage"]
