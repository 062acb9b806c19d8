"""Lets the tests of mixed precision compare with PyTorch as those of the functions do."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "ops"))
