"""`python -m bench [NAME...]`: runs the benches, one process each, prints a table and writes JSON."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, report
from bench.alone import rows_of
from bench.rows import Row

BENCHES = {
    "noop": "no-op jobs over HTTP: how many the system takes in, hands out and records",
    "farm": "the same no-op jobs through one server on SQLite, one on PostgreSQL and two; the stores alone",
    "peers": "the same no-op jobs with other queues, on PostgreSQL",
    "choice": "choosing one task among a million, in memory",
    "api": "the API under load: status beside an encode, calls of all kinds, a hundred uploads at once",
    "broker": "how soon an engine has the work that comes: over HTTP and over NATS, by turns",
    "views": "looking at jobs again and again, with what was built before kept by its version, and without",
    "engines": "what an engine costs its box: idle, while FFmpeg works, and at its start",
    "heartbeats": "ten thousand simulated engines heart-beating at one server: its processor time, and how long they wait",
    "s3": "files in a bucket through the storage, against boto3 alone at the same server",
    "streaming": "a packaged ladder against shaka-streamer's, and how soon the first segment can be played",
    "quality": "bits that a target quality saves against a fixed one, on an easy and a hard film",
    "media": "a real clip through the system against FFmpeg run bare; decode once against one run per output",
}
RESULTS = Path("bench/results")
PAGE = Path("docs/benchmarks.md")


def run(names: Sequence[str]) -> report.Run:
    rows: dict[str, Sequence[Row]] = {}
    took: dict[str, float] = {}
    found = report.Run(datetime.now(UTC), machine.look(), rows, took)
    print("\n".join(report.about(found)), flush=True)
    for name in names:
        began = time.perf_counter()
        print(f"\n{name}: {BENCHES[name]}", flush=True)
        rows[name] = rows_of(name)
        took[name] = round(time.perf_counter() - began, 1)
        print("\n".join(report.lines(rows[name])), f"\n  ({took[name]:.0f} s)", flush=True)
    return found


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure. Nothing here passes or fails.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which benches (default: all)")
    parser.add_argument("--list", action="store_true", help="name the benches")
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"where the JSON goes (default: {RESULTS}/<date>.json)")
    parser.add_argument("--write-docs", action="store_true", help=f"put the figures into {PAGE}")
    parser.add_argument("--add-docs", action="store_true", help="put the named ones' figures into it, with their own date")
    given = parser.parse_args(argv)
    if unknown := [name for name in given.names if name not in BENCHES]:
        parser.error(f"there is no bench {unknown[0]}; there are {', '.join(BENCHES)}")
    if given.write_docs and given.names:
        parser.error("--write-docs takes all benches, measured on one day; --add-docs puts single ones beside the others")
    return given


def main(argv: Sequence[str]) -> None:
    given = arguments(argv)
    if given.list:
        print("\n".join(f"{name:8} {text}" for name, text in BENCHES.items()))
        return
    found = run(given.names or tuple(BENCHES))
    target = given.json or RESULTS / f"{found.at:%Y-%m-%dT%H%M%S}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(report.as_json(found) + "\n", encoding="utf-8")
    print(f"\nwritten: {target}")
    if given.write_docs or given.add_docs:
        (report.write_docs if given.write_docs else report.add_to_docs)(found, PAGE)
        print(f"written: {PAGE}")


if __name__ == "__main__":
    main(sys.argv[1:])
