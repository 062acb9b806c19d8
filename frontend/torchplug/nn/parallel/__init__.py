"""Modules that PyTorch runs on several devices; here, on one."""

from torchplug.nn.parallel.data_parallel import DataParallel, data_parallel

__all__ = ["DataParallel", "data_parallel"]
