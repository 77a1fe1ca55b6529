"""The profiles jobs may name. A job keeps a copy of its profile as it was when it was submitted."""

from __future__ import annotations

from collections.abc import Iterable

from dispatch.core.paging import FIRST, Listing, Wanted, cut, page_fields
from protocol.admin import ProfilePage
from protocol.errors import ErrorCode, ReelyardError
from protocol.profiles import Profile

PROFILES = Listing("profiles")


class ProfileBook:
    def __init__(self, profiles: Iterable[Profile]) -> None:
        self._profiles = {profile.name: (profile, profile.model_dump_json()) for profile in profiles}

    def find(self, name: str) -> tuple[Profile, str]:
        """The profile and its JSON. Raises PROFILE_NOT_FOUND, naming those there are."""
        found = self._profiles.get(name)
        if found is None:
            known = sorted(self._profiles)
            message = f"there is no profile {name}; known are {', '.join(known)}"
            raise ReelyardError(ErrorCode.PROFILE_NOT_FOUND, message, details={"known": known})
        return found

    async def list(self, wanted: Wanted = FIRST) -> ProfilePage:
        profiles = [self._profiles[name][0] for name in sorted(self._profiles)]
        found = cut(profiles, wanted, lambda profile: (profile.name,))
        return ProfilePage(profiles=found.rows, **page_fields(found, wanted, PROFILES))
