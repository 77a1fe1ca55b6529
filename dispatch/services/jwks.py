"""A key set by its URL. The URL is the operator's own setting; what it answers is bounded in time and size."""

from __future__ import annotations

import aiohttp

from dispatch.services.key_sets import BadKey, VerificationKey, of_jwks
from dispatch.services.tokens import KeysUnavailable

WAIT_S = 5.0
MOST_BYTES = 1 << 20


class JwksUrl:
    def __init__(self, url: str) -> None:
        self._url = url

    async def fetch(self) -> tuple[VerificationKey, ...]:
        """Raises KeysUnavailable. Redirects are not followed: the setting names the place itself."""
        try:
            timeout = aiohttp.ClientTimeout(total=WAIT_S)
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as http,
                http.get(self._url, allow_redirects=False, headers={"Accept": "application/json"}) as answer,
            ):
                if answer.status != 200:
                    raise KeysUnavailable(f"answered {answer.status}")
                content = await answer.content.read(MOST_BYTES + 1)
                while len(content) <= MOST_BYTES and (more := await answer.content.read(MOST_BYTES)):
                    content += more
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise KeysUnavailable(str(error) or type(error).__name__) from error
        return _keys_of(content)


def _keys_of(content: bytes) -> tuple[VerificationKey, ...]:
    if len(content) > MOST_BYTES:
        raise KeysUnavailable(f"is larger than {MOST_BYTES} bytes")
    try:
        keys = of_jwks(content)
    except BadKey as error:
        raise KeysUnavailable(str(error)) from error
    if not keys:
        raise KeysUnavailable("holds no key that can be used")
    return keys
