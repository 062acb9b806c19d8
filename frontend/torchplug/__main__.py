"""`python -m torchplug` is the command `torchplug`."""

from torchplug.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
