"""Signed links cover their prefix and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.errors import ErrorCode, ReelyardError
from protocol.signing import MOST_NAMES, check, sign

SECRET = b"a secret of 32 bytes, or about it"
EXPIRY = 2_000_000_000
NAMES = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)
METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE"])


def refusal(signature: str, path: str, *, method: str = "GET", now: float = 0, secret: bytes = SECRET) -> ErrorCode | None:
    try:
        check(secret, signature, method=method, path=path, now=now)
    except ReelyardError as error:
        return error.code
    return None


def link(prefix: str, *, method: str = "GET", expiry: int = EXPIRY) -> str:
    return sign(SECRET, method=method, prefix=prefix, expiry=expiry)


@given(prefix=PATHS, below=st.lists(NAMES, max_size=4), method=METHODS)
def test_a_prefix_covers_itself_and_all_below(prefix: str, below: list[str], method: str) -> None:
    path = "/".join((prefix, *below))

    assert refusal(link(prefix, method=method), path, method=method) is None


@given(prefix=PATHS, path=PATHS)
def test_a_prefix_covers_nothing_else(prefix: str, path: str) -> None:
    assume(path != prefix and not path.startswith(f"{prefix}/"))

    assert refusal(link(prefix), path) is ErrorCode.LINK_INVALID


@pytest.mark.parametrize("path", ["a/bc", "a/b.m3u8", "a/bc/d", "a", "b", "A/b", "a/B", "a//b", "x/a/b"])
def test_siblings_and_parents_are_not_covered(path: str) -> None:
    assert refusal(link("a/b"), path) is ErrorCode.LINK_INVALID


@pytest.mark.parametrize("path", ["a/b/../c", "a/b/../../x", "a/b/.", "a/b/./c", "a/b/", "a/b//c", "/a/b", "", "a/b/\udc80"])
def test_a_path_that_would_be_resolved_elsewhere_is_not_covered(path: str) -> None:
    assert refusal(link("a/b"), path) is ErrorCode.LINK_INVALID


@given(asked=METHODS, signed=METHODS)
def test_a_link_holds_for_its_method_alone(asked: str, signed: str) -> None:
    assert (refusal(link("a/b", method=signed), "a/b", method=asked) is None) == (asked == signed)


@pytest.mark.parametrize(("signed", "expected"), [("GET", None), ("PUT", ErrorCode.LINK_INVALID)])
def test_head_is_covered_by_a_link_for_get_alone(signed: str, expected: ErrorCode | None) -> None:
    assert refusal(link("a/b", method=signed), "a/b/c", method="HEAD") is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [(0, None), (EXPIRY, None), (EXPIRY + 0.5, ErrorCode.LINK_EXPIRED), (EXPIRY + 1e6, ErrorCode.LINK_EXPIRED)],
)
def test_a_link_holds_up_to_its_expiry(now: float, expected: ErrorCode | None) -> None:
    assert refusal(link("a/b"), "a/b/c", now=now) is expected


@given(later=st.integers(1, 10**9))
def test_a_later_expiry_cannot_be_written_into_a_link(later: int) -> None:
    mac, _, _ = link("a/b").rpartition(".")

    assert refusal(f"{mac}.{EXPIRY + later}", "a/b", now=EXPIRY + later) is ErrorCode.LINK_INVALID


@given(at=st.integers(0, 31), other=st.sampled_from("ABCDEFabcdef0123456789-_"))
def test_a_changed_signature_is_invalid(at: int, other: str) -> None:
    signature = link("a/b")
    assume(signature[at] != other)

    assert refusal(signature[:at] + other + signature[at + 1 :], "a/b") is ErrorCode.LINK_INVALID


@given(junk=st.text(max_size=60))
def test_junk_is_invalid_and_never_a_crash(junk: str) -> None:
    assert refusal(junk, "a/b") is ErrorCode.LINK_INVALID


@pytest.mark.parametrize("expiry", ["", "-1", "+1", "1e9", "²", "١", "1" * 13, "1" * 5000, " 1", "1_0"])
def test_an_expiry_that_is_no_plain_number_is_invalid(expiry: str) -> None:
    mac, _, _ = link("a/b").rpartition(".")

    assert refusal(f"{mac}.{expiry}", "a/b") is ErrorCode.LINK_INVALID


@pytest.mark.parametrize("signature", ["\udc80.1", "é.1", "."])
def test_a_signature_outside_ascii_is_invalid(signature: str) -> None:
    assert refusal(signature, "a/b") is ErrorCode.LINK_INVALID


def test_another_secret_signs_another_link() -> None:
    assert refusal(link("a/b"), "a/b", secret=b"another") is ErrorCode.LINK_INVALID


def test_a_path_of_very_many_names_is_refused_before_it_costs_anything() -> None:
    longest = "/".join(["a"] * MOST_NAMES)

    assert refusal(link("a"), longest) is None
    assert refusal(link("a"), f"{longest}/a") is ErrorCode.LINK_INVALID


@pytest.mark.parametrize("prefix", ["", "/", "a/", "/a", "a//b", ".", "a/..", "\udc80"])
def test_a_prefix_that_could_cover_nothing_is_not_signed(prefix: str) -> None:
    with pytest.raises(ValueError, match="cannot sign"):
        link(prefix)
