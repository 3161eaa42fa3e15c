"""``python -m lightning_explain`` is the command ``lightning-explain``."""

import sys

from lightning_explain.cli import main

if __name__ == "__main__":
    sys.exit(main())
