"""The NumPy engine's own kernels, one family per module, each a mixin of NumPyBackend."""
