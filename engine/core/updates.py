"""Whether a signed release is to be installed here, and what is remembered about those that were. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from packaging.version import Version

from protocol.base import Message
from protocol.releases import ANY_PLATFORM, Release

MOST_STARTS = 3
"""Starts of an installed version that never reported; then the one before it runs again."""


class Refused(StrEnum):
    """Why a release is not installed. The words are stable; they stand in the log."""

    MALFORMED = "malformed"
    UNSIGNED = "unsigned"
    WRONG_KEY = "wrong_key"
    EXPIRED = "expired"
    OLDER = "older"
    CURRENT = "current"
    OTHER_PLATFORM = "other_platform"
    KNOWN_BAD = "known_bad"
    TRUNCATED = "truncated"
    TAMPERED = "tampered"
    NOT_INSTALLABLE = "not_installable"


class Installed(Message):
    """The state file beside the installed versions. `current` None: the version that the machine's own package has.

    `highest` is the newest version ever run here: nothing below it is taken. `starts` counts those since the last report.
    `waiting` is installed and waits for its trial.
    """

    current: str | None = None
    previous: str | None = None
    highest: str | None = None
    waiting: str | None = None
    starts: int = 0
    bad: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Here:
    """What runs: its version, the platform as `linux-x86_64`, and the wall clock in Unix seconds."""

    version: str
    platform: str
    now: float


def refusal(release: Release, here: Here, known: Installed) -> Refused | None:
    """Why `release` is not to be installed; None when it is."""
    offered, running = Version(release.version), Version(here.version)
    if offered == running:
        return Refused.CURRENT
    if offered < max(running, Version(known.highest or here.version)):
        return Refused.OLDER
    if here.now >= _moment(release.expires_at):
        return Refused.EXPIRED
    if here.platform not in release.platforms and ANY_PLATFORM not in release.platforms:
        return Refused.OTHER_PLATFORM
    return Refused.KNOWN_BAD if release.version in known.bad else None


def _moment(text: str) -> float:
    """Unix seconds; a moment that cannot be read, or has no offset, has passed."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return moment.timestamp() if moment.tzinfo is not None else 0.0


def accepted(known: Installed, version: str, running: str) -> Installed:
    """`version` did well in its trial: from now on it is the one that runs."""
    is_own = known.current is None
    return Installed(current=version, previous=None if is_own else running, highest=version, bad=known.bad)


def rejected(known: Installed, version: str, why: str) -> Installed:
    return known.model_copy(update={"bad": {**known.bad, version: why[:300]}, "waiting": None})


def at_start(known: Installed, own: str) -> Installed:
    """The state with this start counted in. What never reports after several starts gives way to the one before it."""
    if known.current is None or Version(known.current) <= Version(own):
        return known.model_copy(update={"current": None, "previous": None, "starts": 0})
    if known.starts < MOST_STARTS:
        return known.model_copy(update={"starts": known.starts + 1})
    fallen = rejected(known, known.current, f"started {known.starts} times without a word to dispatch")
    return fallen.model_copy(update={"current": known.previous, "previous": None, "starts": 0})


def installed(known: Installed, version: str) -> Installed:
    return known.model_copy(update={"waiting": version})


def reported(known: Installed) -> Installed:
    """Dispatch has answered this run."""
    return known.model_copy(update={"starts": 0})
