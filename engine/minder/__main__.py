"""Run by its path, `python -I -S -B .../engine/minder/__main__.py`, in the journal directory of one tool process."""

import os
import sys


def main() -> None:
    """`__main__.py <listening socket> <connection to the engine>`, both inherited descriptors."""
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from engine.minder.minding import mind

    mind(int(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
