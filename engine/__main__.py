"""`python -m engine`: an engine, or `doctor`."""

from __future__ import annotations

import sys

from engine.app.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
