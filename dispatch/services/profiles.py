"""The profiles jobs may name. A job keeps a copy of its profile as it was when it was submitted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dispatch.core import profile_rules
from dispatch.core.callers import Caller
from dispatch.core.paging import FIRST, Listing, Wanted, cut, page_fields
from dispatch.core.records import ProfileRow
from dispatch.ports import Clock, Commit, Store, Transaction
from dispatch.services.audit import audited
from protocol.admin import ProfilePage
from protocol.errors import ErrorCode, ReelyardError
from protocol.profiles import Profile

PROFILES = Listing("profiles")
Versions = frozenset[int] | None
"""What If-Match accepts; None is any."""


@dataclass(frozen=True, slots=True)
class Known:
    """`version` is None for a profile of the server's own: built in, or from a file."""

    profile: Profile
    profile_json: str
    version: int | None = None

    @property
    def tag(self) -> str:
        return profile_rules.tag_of(self.profile_json, self.version)


class ProfileBook:
    """A CommitListener. The server's own profiles stand for good; those that were put in follow the commits."""

    def __init__(self, profiles: Iterable[Profile]) -> None:
        self._own = {profile.name: Known(profile, profile.model_dump_json()) for profile in profiles}
        self._put: dict[str, Known] = {}

    def load(self, rows: Iterable[ProfileRow]) -> None:
        """Called once; of what another server changed while these were read, the commit has told already."""
        for row in rows:
            if row.name not in self._put:
                self._take(row)

    def __call__(self, commit: Commit) -> None:
        for name in commit.gone_profiles:
            self._put.pop(name, None)
        for row in commit.profiles:
            self._take(row)

    def _take(self, row: ProfileRow) -> None:
        self._put[row.name] = Known(Profile.model_validate_json(row.profile_json), row.profile_json, row.version)

    def known(self, name: str) -> Known | None:
        return self._own.get(name) or self._put.get(name)

    def is_own(self, name: str) -> bool:
        return name in self._own

    def find(self, name: str) -> tuple[Profile, str]:
        """The profile and its JSON. Raises PROFILE_NOT_FOUND, naming those there are."""
        found = self.known(name)
        if found is None:
            known = self._names()
            message = f"there is no profile {name}; known are {', '.join(known)}"
            raise ReelyardError(ErrorCode.PROFILE_NOT_FOUND, message, details={"known": list(known)})
        return found.profile, found.profile_json

    async def list(self, wanted: Wanted = FIRST) -> ProfilePage:
        profiles = [self.find(name)[0] for name in self._names()]
        found = cut(profiles, wanted, lambda profile: (profile.name,))
        return ProfilePage(profiles=found.rows, **page_fields(found, wanted, PROFILES))

    def _names(self) -> tuple[str, ...]:
        return tuple(sorted({*self._own, *self._put}))


class ProfileService:
    """What admins put in, replace and take out again. The server's own profiles cannot be changed: PROFILE_BUILT_IN."""

    def __init__(self, store: Store, book: ProfileBook, clock: Clock) -> None:
        self._store, self._book, self._clock = store, book, clock

    async def load(self) -> None:
        """Called once, before calls are taken."""
        self._book.load(await self._store.read(lambda tx: tx.profiles()))

    def get(self, name: str) -> Known:
        """Raises NO_SUCH_PROFILE."""
        found = self._book.known(name)
        if found is None:
            raise ReelyardError(ErrorCode.NO_SUCH_PROFILE, details={"profile": name})
        return found

    async def put(self, who: Caller, name: str, profile: Profile, versions: Versions, *, is_matched: bool) -> Known:
        """`is_matched`: the call names what it replaces. Raises PRECONDITION_REQUIRED where it replaces without that."""
        self._refuse_own(name)
        profile_rules.check(name, profile)
        text, now = profile.model_dump_json(), self._clock.now()

        def save(tx: Transaction) -> ProfileRow:
            before = tx.profile(name)
            if before is not None and not is_matched:
                raise ReelyardError(ErrorCode.PRECONDITION_REQUIRED)
            if is_matched:
                _check_version(before, versions)
            row = ProfileRow(name, text, now, 1 if before is None else before.version + 1)
            tx.put_profile(row)
            audited(tx, who, "put_profile", name, {"version": row.version}, now=now)
            return row

        row = await self._store.transact(save)
        return Known(profile, text, row.version)

    async def delete(self, who: Caller, name: str, versions: Versions) -> None:
        """Raises NO_SUCH_PROFILE, PRECONDITION_FAILED, and PROFILE_IN_USE while it is a tenant's default."""
        self._refuse_own(name)
        now = self._clock.now()

        def remove(tx: Transaction) -> None:
            before = tx.profile(name)
            if before is None:
                raise ReelyardError(ErrorCode.NO_SUCH_PROFILE, details={"profile": name})
            _check_version(before, versions)
            used_by = [tenant.name for tenant in tx.tenants() if tenant.default_profile == name]
            if used_by:
                raise ReelyardError(ErrorCode.PROFILE_IN_USE, details={"tenants": used_by})
            tx.delete_profile(name)
            audited(tx, who, "delete_profile", name, {"version": before.version}, now=now)

        await self._store.transact(remove)

    def _refuse_own(self, name: str) -> None:
        if self._book.is_own(name):
            raise ReelyardError(ErrorCode.PROFILE_BUILT_IN, details={"profile": name})


def _check_version(before: ProfileRow | None, versions: Versions) -> None:
    if before is None or (versions is not None and before.version not in versions):
        raise ReelyardError(ErrorCode.PRECONDITION_FAILED)
