"""The inspector: one suite, generated from torchplug's declarations, that decides who is a backend."""

__all__: list[str] = []
