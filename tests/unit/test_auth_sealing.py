"""Sealed secrets: opened by the same server alone, never as they were once changed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.services.sealing import Sealer, Unsealable


def sealer(secret: bytes = b"of this server") -> Sealer:
    chance = itertools.count()
    return Sealer(secret, lambda: f"chance {next(chance)}")


@given(st.text())
def test_what_was_sealed_is_opened(text: str) -> None:
    here = sealer()

    sealed = here.seal(text)

    assert here.open(sealed) == text
    assert sealed.isascii()
    assert not set(sealed) & set(" \t\n:=")


def test_the_same_text_is_sealed_differently_each_time() -> None:
    here = sealer()

    assert here.seal("rk_secret") != here.seal("rk_secret")


def test_another_servers_secret_opens_nothing() -> None:
    sealed = sealer().seal("rk_secret")

    with pytest.raises(Unsealable):
        sealer(b"of another").open(sealed)


@given(st.data())
def test_a_changed_text_is_never_opened(data: st.DataObject) -> None:
    here = sealer()
    sealed = here.seal("rk_secret of some length")
    at = data.draw(st.integers(0, len(sealed) - 2))  # the last letter holds bits that mean nothing
    other = data.draw(st.sampled_from("ABab01-_ =~").filter(lambda letter: letter != sealed[at]))

    with pytest.raises(Unsealable):
        here.open(sealed[:at] + other + sealed[at + 1 :])


@pytest.mark.parametrize("text", ["", "A", "rk_secret", "é", "A" * 15, " "])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(Unsealable):
        sealer().open(text)
