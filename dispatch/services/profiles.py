"""The profiles jobs may name. A job keeps a copy of its profile as it was when it was submitted."""

from __future__ import annotations

from collections.abc import Iterable

from protocol.admin import ProfilePage
from protocol.errors import ErrorCode, ReelyardError
from protocol.profiles import Profile


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

    async def list(self) -> ProfilePage:
        profiles = tuple(profile for profile, _ in self._profiles.values())
        return ProfilePage(profiles=profiles, total=len(profiles))
