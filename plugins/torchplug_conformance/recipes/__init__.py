"""Programs that run on torchplug and on PyTorch alike: each takes the library as `torch` and returns plain numbers.

`scripts/record_conformance_numbers.py` runs them on PyTorch and writes what they return to `recorded/`; the suite runs
them on a backend and compares.
"""
