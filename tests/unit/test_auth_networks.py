"""Networks of a key: how they are written, and which addresses lie in them."""

from __future__ import annotations

import pytest

from dispatch.core.networks import is_within, network_of


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("2001:DB8::/32", "2001:db8::/32"),
    ],
)
def test_a_network_is_kept_in_cidr_form(text: str, network: str) -> None:
    assert network_of(text) == network


@pytest.mark.parametrize(
    "text", ["", "box.local", "192.0.2.1/24", "192.0.2.0/33", "192.0.2", "fe80::1%eth0", "1.2.3.4,5.6.7.8", "*"]
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        network_of(text)


@pytest.mark.parametrize(
    ("address", "is_in"),
    [
        ("192.0.2.7", True),
        ("192.0.3.7", False),
        ("::ffff:192.0.2.7", True),
        ("::ffff:192.0.3.7", False),
        ("2001:db8::5", True),
        ("2001:db9::5", False),
        ("2001:db8::5%eth0", True),
        ("", False),
        ("nonsense", False),
    ],
)
def test_an_address_lies_in_a_network_or_not(address: str, is_in: bool) -> None:
    assert is_within(address, ("192.0.2.0/24", "2001:db8::/32")) is is_in
