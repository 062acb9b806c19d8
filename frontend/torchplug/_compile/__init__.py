"""`torch.compile`: functions that find their own state and run as one program of the engine."""

from torchplug._compile.function import CompiledFunction, compile

__all__ = ["CompiledFunction", "compile"]
