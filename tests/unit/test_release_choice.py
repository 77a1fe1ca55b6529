"""Which releases an engine takes, and what it remembers of those it took."""

from __future__ import annotations

import pytest

from engine.core.updates import MOST_STARTS, Here, Installed, Refused, accepted, at_start, refusal, rejected, reported
from protocol.releases import Release, ReleaseFile, signed_bytes

LATER = "2030-01-01T00:00:00Z"
HERE = Here("1.2.0", "linux-x86_64", now=1_800_000_000.0)  # January 2027


def offered(version: str = "1.3.0", *, platforms: tuple[str, ...] = ("any",), expires_at: str = LATER) -> Release:
    file = ReleaseFile(name="reelyard-1.3.0-py3-none-any.whl", size=1, sha256="0" * 64)
    return Release(version=version, platforms=platforms, expires_at=expires_at, files=(file,))


@pytest.mark.parametrize(
    ("release", "known", "expected"),
    [
        (offered(), Installed(), None),
        (offered("1.10.0"), Installed(), None),
        (offered(platforms=("linux-aarch64", "linux-x86_64")), Installed(), None),
        (offered("1.2.0"), Installed(), Refused.CURRENT),
        (offered("1.2.0rc1"), Installed(), Refused.OLDER),
        (offered("1.1.9"), Installed(), Refused.OLDER),
        (offered("1.3.0"), Installed(highest="1.4.0"), Refused.OLDER),
        (offered(expires_at="2026-12-31T00:00:00Z"), Installed(), Refused.EXPIRED),
        (offered(expires_at="whenever"), Installed(), Refused.EXPIRED),
        (offered(expires_at="2030-01-01T00:00:00"), Installed(), Refused.EXPIRED),
        (offered(platforms=("linux-aarch64",)), Installed(), Refused.OTHER_PLATFORM),
        (offered(), Installed(bad={"1.3.0": "it crashed"}), Refused.KNOWN_BAD),
    ],
)
def test_only_a_newer_release_for_this_platform_is_taken(release: Release, known: Installed, expected: Refused | None) -> None:
    assert refusal(release, HERE, known) is expected


def test_an_accepted_version_runs_and_nothing_below_it_is_taken_again() -> None:
    known = accepted(Installed(waiting="1.3.0"), "1.3.0", "")

    assert known == Installed(current="1.3.0", highest="1.3.0")
    assert refusal(offered("1.2.9"), Here("1.2.0", "linux-x86_64", 0.0), known) is Refused.OLDER


def test_a_rejected_version_is_not_tried_again() -> None:
    known = rejected(Installed(waiting="1.3.0"), "1.3.0", "its trial ended with exit code 1")

    assert (known.waiting, refusal(offered(), HERE, known)) == (None, Refused.KNOWN_BAD)


def test_a_version_that_never_reports_gives_way_to_the_one_before_it() -> None:
    known = accepted(accepted(Installed(), "1.3.0", ""), "1.4.0", "1.3.0")
    for _ in range(MOST_STARTS):
        known = at_start(known, "1.2.0")
        assert known.current == "1.4.0"

    fallen = at_start(known, "1.2.0")

    assert (fallen.current, fallen.starts, set(fallen.bad)) == ("1.3.0", 0, {"1.4.0"})


def test_a_report_forgives_the_starts_before_it() -> None:
    known = at_start(Installed(current="1.3.0"), "1.2.0")

    assert (known.starts, reported(known).starts) == (1, 0)


def test_a_newer_package_of_the_machine_ends_an_older_update() -> None:
    assert at_start(Installed(current="1.3.0", previous="1.2.5", highest="1.3.0"), "1.3.0") == Installed(highest="1.3.0")


def test_what_is_signed_is_the_encoding_of_dsse() -> None:
    """The example of the specification's own protocol page."""
    assert signed_bytes("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
