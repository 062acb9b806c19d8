"""The CuPy engine: NumPy's strided arrays on NVIDIA GPUs. CuPy is imported when the backend is built, not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torchplug_spec.errors import BackendUnavailableError
from torchplug_spec.hookspecs import hookimpl

if TYPE_CHECKING:
    from torchplug_cupy.engine import CuPyBackend

__all__ = ["Plugin", "build", "plugin"]


def build() -> CuPyBackend:
    """Returns the engine over the GPUs CuPy sees; BackendUnavailableError when CuPy or a usable GPU is missing."""
    try:
        import cupy
    except ImportError as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip(" =")), "")
        raise _unavailable(
            f"cupy cannot be imported ({reason})",
            "pip install torchplug[cupy-cuda12] or torchplug[cupy-cuda13], whichever CUDA the driver supports",
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CUDARuntimeError, and what a broken driver library raises instead
        reason = f"cupy {cupy.__version__} cannot use a GPU: {error}"
        raise _unavailable(reason, "install an NVIDIA driver, or check it with nvidia-smi") from error
    if not count:
        raise _unavailable(f"cupy {cupy.__version__} sees no GPU", "look at CUDA_VISIBLE_DEVICES and nvidia-smi")
    from torchplug_cupy.engine import CuPyBackend

    return CuPyBackend()


def _unavailable(reason: str, remedy: str) -> BackendUnavailableError:
    error = BackendUnavailableError(reason)
    error.remedy = remedy
    return error


class Plugin:
    """What the entry point `cupy` of the group `torchplug.backends` names."""

    @hookimpl
    def register_backend(self, register: Callable[[Callable[[], CuPyBackend]], None]) -> None:
        register(build)


plugin = Plugin()
