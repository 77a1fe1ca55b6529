"""Servers that cut, forget ranges and change their file at random: what is fetched is one version, whole, or nothing."""

from __future__ import annotations

import random
from pathlib import Path

from engine.shell.tries import TransferFailed
from tests.contract.fetch_outside import Asked, Moments, cut, fetched, http, outside, ranged

VERSIONS = [bytes([n]) * (150_000 + 1000 * n) for n in range(4)]


class Fickle:
    """One version after the other; each answer is as honest as HTTP asks for, and no more."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._version = 0
        self._changes = self._rng.random() * 0.6

    def __call__(self, asked: Asked) -> bytes:
        if asked.number and self._rng.random() < self._changes:
            self._version = min(self._version + 1, len(VERSIONS) - 1)
        content, tag = VERSIONS[self._version], f'"{self._version}"'
        if self._rng.random() < 0.1:
            return http("503 Busy")
        whole = self._answer(asked, content, tag)
        return cut(whole, self._rng.randrange(len(content))) if self._rng.random() < 0.6 else whole

    def _answer(self, asked: Asked, content: bytes, tag: str) -> bytes:
        if self._rng.random() < 0.2:
            return http("200 OK", content, etag=tag)  # ranges are forgotten
        is_met = asked.headers.get("if-range", tag) == tag
        if not is_met and self._rng.random() < 0.5:
            return http("200 OK", content, etag=tag)
        if is_met and "range" in asked.headers and self._rng.random() < 0.5:
            return ranged(content, asked)  # the tag is not told again
        return ranged(content, asked, etag=tag)  # the condition may be forgotten


async def test_no_mixture_of_versions_is_ever_taken(tmp_path: Path) -> None:
    whole = 0
    for seed in range(150):
        async with outside(Fickle(seed)) as server:
            try:
                content = await fetched(server, tmp_path, Moments())
            except TransferFailed:
                continue
        assert content in VERSIONS, f"seed {seed}"
        whole += 1

    assert whole >= 100
