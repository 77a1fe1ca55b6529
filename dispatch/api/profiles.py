"""Profiles: looked at by everybody who submits jobs, put in by admins."""

from __future__ import annotations

from aiohttp import web

from dispatch.api import answers, paging
from dispatch.api.call import Call, Handler
from dispatch.api.tags import wanted_versions
from dispatch.services.profiles import PROFILES, Known
from protocol.admin import Pong
from protocol.profiles import Profile


async def list_profiles(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.profiles.list(paging.asked(call, PROFILES)))


async def get_profile(call: Call) -> web.StreamResponse:
    return answers.unless_held(call, _profile(call.services.profile_changes.get(call.path("profile"))))


async def put_profile(call: Call) -> web.StreamResponse:
    versions = wanted_versions(call.request.headers)
    profile = await call.message(Profile)
    is_matched = call.header("If-Match") is not None
    changes = call.services.profile_changes
    return _profile(await changes.put(call.who, call.path("profile"), profile, versions, is_matched=is_matched))


async def delete_profile(call: Call) -> web.StreamResponse:
    versions = wanted_versions(call.request.headers)
    await call.services.profile_changes.delete(call.who, call.path("profile"), versions)
    return answers.message(Pong(status="deleted"))


def _profile(known: Known) -> web.Response:
    return answers.message(known.profile, 200, {"ETag": known.tag, "Cache-Control": "private, no-cache"})


HANDLERS: dict[str, Handler] = {
    "list_profiles": list_profiles,
    "get_profile": get_profile,
    "put_profile": put_profile,
    "delete_profile": delete_profile,
}
