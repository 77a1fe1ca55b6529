"""`python -m dispatch`: the server, `config-check` or `migrate`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dispatch.app import configuration


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="reelyard dispatch", description="Run the dispatch server.")
    made.add_argument("--config", type=Path, help="a TOML file of settings")
    made.add_argument("--data", type=Path, help="where the database, the secrets and the files lie (./reelyard-data)")
    made.add_argument("--listen", help="HOST:PORT (127.0.0.1:8080); port 0 picks a free one")
    return made


if __name__ == "__main__":
    if sys.argv[1:2] == ["config-check"]:
        sys.exit(configuration.main(sys.argv[2:]))
    if sys.argv[1:2] == ["migrate"]:
        from dispatch.app import migrating  # the database's libraries, and nothing else of the server

        sys.exit(migrating.main(sys.argv[2:]))
    from dispatch.app.process import main  # the whole server: what only looks at settings need not load it

    told = vars(parser().parse_args())
    sys.exit(main({name: told[name] for name in ("data", "listen")}, told["config"]))
