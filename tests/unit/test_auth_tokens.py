"""Tokens of another issuer: which signatures open the door, and every way to forge one that does not."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.callers import Caller
from dispatch.services.key_sets import BadKey, VerificationKey, of_file, of_jwks, of_secret
from dispatch.services.tokens import KeyRing, KeysUnavailable, TokenService
from protocol.admin import Scope
from tests.unit.auth_issuer import CLAIMS, RULES, SECRET, Still, caller, jwks, part, service, signers

CI = Caller("jwt:ci", "acme", frozenset({Scope.JOBS_READ}), "192.0.2.7", jobs_per_hour=100)
KINDS = ("RS256", "ES256", "EdDSA")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_signed_with_a_published_key_says_who_calls(kind: str) -> None:
    signer = signers()[kind]

    assert await caller(service(*of_jwks(jwks())), signer.sign()) == CI
    assert await caller(service(*of_file(signer.pem)), signer.sign()) == CI


async def test_a_token_signed_with_the_shared_secret_says_who_calls() -> None:
    tokens = service(of_secret(SECRET))

    assert await caller(tokens, jwt.encode(CLAIMS, SECRET, "HS256")) == CI
    assert await caller(tokens, jwt.encode(CLAIMS, SECRET[::-1], "HS256")) is None


async def test_the_new_name_of_ed25519_is_known() -> None:
    """RFC 9864."""
    signer = signers()["EdDSA"]
    signed = f"{part({'alg': 'Ed25519', 'kid': 'ed-1'})}.{part(CLAIMS)}"
    signature = base64.urlsafe_b64encode(signer.private.sign(signed.encode())).decode().rstrip("=")

    assert await caller(service(*of_jwks(jwks())), f"{signed}.{signature}") == CI


async def test_without_rules_no_token_opens_anything() -> None:
    assert await caller(service(*of_jwks(jwks()), rules=None), signers()["ES256"].sign()) is None


def hs256(secret: bytes, header: dict[str, Any]) -> str:  # any header
    signed = f"{part({'alg': 'HS256', **header})}.{part(CLAIMS)}"
    return f"{signed}.{base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), 'sha256')).decode().rstrip('=')}"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_public_key_is_never_a_secret(kind: str) -> None:
    """The best known confusion of algorithms: signing HS256 with what everybody can read."""
    signer = signers()[kind]
    known = {"jwks": service(*of_jwks(jwks())), "pem": service(*of_file(signer.pem)), "secret": service(of_secret(SECRET))}
    forged = [hs256(secret, header) for secret in (signer.pem, signer.pem.strip()) for header in ({}, {"kid": signer.jwk["kid"]})]

    assert [await caller(tokens, token) for tokens in known.values() for token in forged] == [None] * 12


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, 5, ["RS256"], "HS384", "HS512", "PS256", "RS512", "ES384"])
@pytest.mark.parametrize("signature", ["", "AAAA"])
async def test_no_other_algorithm_is_taken(alg: object, signature: str) -> None:
    token = f"{part({'alg': alg, 'kid': 'rsa-1', 'typ': 'JWT'})}.{part(CLAIMS)}.{signature}"

    assert await caller(service(*of_jwks(jwks()), of_secret(SECRET)), token) is None


@pytest.mark.parametrize(("kind", "other"), [(a, b) for a in KINDS for b in KINDS if a != b])
async def test_a_key_checks_its_own_algorithm_alone(kind: str, other: str) -> None:
    """Signed rightly, but under the name of another key of the set."""
    assert await caller(service(*of_jwks(jwks())), signers()[kind].sign(kid=signers()[other].jwk["kid"])) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"kid": "unknown"},
        {"kid": ""},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"b64": False, "crit": ["b64"]},
    ],
    ids=str,
)
async def test_a_header_that_asks_for_more_is_refused(headers: dict[str, Any]) -> None:
    signed = f"{part({'alg': 'EdDSA', 'kid': 'ed-1', **headers})}.{part(CLAIMS)}"
    signature = base64.urlsafe_b64encode(signers()["EdDSA"].private.sign(signed.encode())).decode().rstrip("=")

    assert await caller(service(*of_jwks(jwks())), f"{signed}.{signature}") is None


async def test_keys_a_token_brings_along_are_not_looked_at() -> None:
    own = ed25519.Ed25519PrivateKey.generate()
    told = jwt.algorithms.OKPAlgorithm.to_jwk(own.public_key(), as_dict=True)
    headers: list[dict[str, Any]] = [
        {"jwk": told},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/pem"},
        {"x5c": ["AAAA"]},
    ]
    forged = [jwt.encode(CLAIMS, own, "EdDSA", {"kid": "ed-1", **header}) for header in headers]

    assert [await caller(service(*of_jwks(jwks())), token) for token in forged] == [None] * 4


@pytest.mark.parametrize("payload", [b"[]", b'"text"', b"null", b"", b"{", b'{"exp": NaN}', b"\xff\xfe"])
async def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    signed = f"{part({'alg': 'EdDSA', 'kid': 'ed-1'})}.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}"
    signature = base64.urlsafe_b64encode(signers()["EdDSA"].private.sign(signed.encode())).decode().rstrip("=")

    assert await caller(service(*of_jwks(jwks())), f"{signed}.{signature}") is None


@given(st.data())
async def test_a_token_changed_anywhere_opens_nothing(data: st.DataObject) -> None:
    token = signers()[data.draw(st.sampled_from(KINDS))].sign()
    at = data.draw(st.integers(0, len(token) - 2))
    letter = data.draw(st.characters(codec="ascii").filter(lambda other: other != token[at]))
    is_last_of_part = at + 1 < len(token) and token[at + 1] == "."  # its lowest bits may mean nothing
    changed = token[:at] + letter + token[at + 1 :]

    found = await caller(service(*of_jwks(jwks())), changed)

    assert found is None or (is_last_of_part and found == CI)


@given(st.text(st.characters(codec="ascii"), max_size=60), st.text(max_size=20), st.text(max_size=20))
async def test_nonsense_is_refused_without_a_crash(first: str, second: str, third: str) -> None:
    assert await caller(service(*of_jwks(jwks()), of_secret(SECRET)), f"{first}.{second}.{third}") is None


@given(st.dictionaries(st.sampled_from(["sub", "tenant", "scope", "exp", "iss", "aud"]), st.text(max_size=10), min_size=1))
async def test_other_claims_under_an_old_signature_open_nothing(changes: dict[str, str]) -> None:
    header, _, signature = signers()["ES256"].sign().split(".")

    assert await caller(service(*of_jwks(jwks())), f"{header}.{part({**CLAIMS, **changes})}.{signature}") is None


# --- what makes a usable key


def test_weak_and_foreign_keys_are_left_out_of_a_set() -> None:
    small = jwt.algorithms.RSAAlgorithm.to_jwk(
        rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key(), as_dict=True
    )
    other_curve = jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True)
    good = signers()["ES256"].jwk
    strange = [
        {**small, "kid": "small"},
        {**other_curve, "kid": "p384"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {**good, "use": "enc"},
        {**good, "alg": "RS256"},
        {**good, "alg": ["ES256"]},
        {**good, "kid": 5},
        {**good, "d": "AAAA"},
        {"kty": "RSA", "n": 5, "e": "AQAB"},
        {"kty": ["RSA"]},
        {},
    ]

    assert [key.kid for key in of_jwks(jwks(*strange))] == ["rsa-1", "ec-1", "ed-1"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"keys": {}}', b"[]", b"null", b"{"])
def test_what_is_no_set_is_refused(content: bytes) -> None:
    with pytest.raises(BadKey):
        of_jwks(content)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_a_file_without_a_key_is_refused(content: bytes) -> None:
    with pytest.raises(BadKey):
        of_file(content)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(BadKey, match="at least 32 bytes"):
        of_secret(b"x" * 31)


# --- a set that is fetched


class Issuer:
    """Publishes what it is told to; counts who asks."""

    def __init__(self, *keys: VerificationKey) -> None:
        self.keys: tuple[VerificationKey, ...] | None = keys
        self.asked = 0

    async def fetch(self) -> tuple[VerificationKey, ...]:
        self.asked += 1
        if self.keys is None:
            raise KeysUnavailable("away")
        return self.keys


def fetching(issuer: Issuer) -> tuple[TokenService, Still]:
    clock = Still()
    return TokenService(KeyRing((), issuer.fetch, clock), RULES, {"acme"}, clock), clock


def published(*kinds: str) -> tuple[VerificationKey, ...]:
    return of_jwks(orjson.dumps({"keys": [signers()[kind].jwk for kind in kinds]}))


async def test_a_key_that_is_not_known_yet_is_fetched() -> None:
    issuer = Issuer(*published("ES256"))
    tokens, clock = fetching(issuer)
    assert await caller(tokens, signers()["ES256"].sign()) == CI

    issuer.keys = published("ES256", "EdDSA")
    clock.elapsed = 60.0

    assert await caller(tokens, signers()["EdDSA"].sign()) == CI
    assert issuer.asked == 2


async def test_unknown_keys_are_asked_for_at_most_once_a_minute() -> None:
    issuer = Issuer(*published("ES256"))
    tokens, clock = fetching(issuer)

    for second in range(0, 120, 5):
        clock.elapsed = float(second)
        assert await caller(tokens, signers()["EdDSA"].sign(kid=f"made-up-{second}")) is None

    assert issuer.asked == 2


async def test_known_keys_go_on_while_the_set_is_away() -> None:
    issuer = Issuer(*published("ES256"))
    tokens, clock = fetching(issuer)
    await tokens.refresh()

    issuer.keys = None
    clock.elapsed = 300.0
    await tokens.refresh()
    clock.elapsed = 600.0

    assert await caller(tokens, signers()["ES256"].sign()) == CI
    assert await caller(tokens, signers()["EdDSA"].sign()) is None
    assert issuer.asked == 3


async def test_a_key_the_issuer_took_back_is_worth_nothing_after_the_next_look() -> None:
    issuer = Issuer(*published("ES256", "EdDSA"))
    tokens, clock = fetching(issuer)
    await tokens.refresh()

    issuer.keys = published("EdDSA")
    clock.elapsed = 300.0
    await tokens.refresh()

    assert await caller(tokens, signers()["ES256"].sign()) is None


async def test_a_token_without_a_key_id_needs_a_single_key_that_fits() -> None:
    nameless = jwt.encode(CLAIMS, signers()["ES256"].private, "ES256")
    twin = {**signers()["ES256"].jwk, "kid": "ec-2"}

    assert await caller(service(*of_jwks(jwks())), nameless) == CI
    assert await caller(service(*of_jwks(jwks(twin))), nameless) is None
