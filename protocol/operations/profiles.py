"""Profiles: those built in, those of files, and those put in by an admin."""

from __future__ import annotations

from protocol import admin
from protocol.admin import Scope as S
from protocol.errors import ErrorCode
from protocol.operations.rows import API, PAGED, Operation
from protocol.profiles import Profile

_PROFILE = f"{API}/profiles/{{profile}}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "list_profiles", "GET", f"{API}/profiles", S.JOBS_READ, "The profiles jobs may name", None, admin.ProfilePage, query=PAGED
    ),
    Operation("get_profile", "GET", _PROFILE, S.JOBS_READ, "One profile", None, Profile, is_tagged=True),
    Operation(
        "put_profile",
        "PUT",
        _PROFILE,
        S.ADMIN,
        "Put a profile in; one that is there is replaced under If-Match",
        Profile,
        Profile,
        errors=(ErrorCode.PROFILE_BUILT_IN, ErrorCode.PRECONDITION_FAILED, ErrorCode.PRECONDITION_REQUIRED),
        is_tagged=True,
        description="Jobs keep the profile as it was when they were submitted.",
    ),
    Operation(
        "delete_profile",
        "DELETE",
        _PROFILE,
        S.ADMIN,
        "Take out a profile that was put in",
        None,
        admin.Pong,
        errors=(ErrorCode.PROFILE_BUILT_IN, ErrorCode.PROFILE_IN_USE, ErrorCode.PRECONDITION_FAILED),
    ),
)
