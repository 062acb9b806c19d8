"""`python -m torchplug_conformance NAME`."""

import sys

from torchplug_conformance.cli import main

if __name__ == "__main__":
    sys.exit(main())
