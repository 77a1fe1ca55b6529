"""Lists as answers: which part is asked for, and the address of the part that follows."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from dispatch.api import answers
from dispatch.api.call import Call
from dispatch.core.paging import Listing, Wanted, wanted_of
from protocol.base import Page

PLACE = ("cursor", "offset")


def asked(call: Call, listing: Listing) -> Wanted:
    """Raises VALIDATION_FAILED when a number is none or out of range, or the cursor is of another list."""
    return wanted_of(call.query(), listing)


def answer(call: Call, page: Page) -> web.Response:
    """The page. The next one is asked for with the same query, at its own place."""
    if page.next_cursor is None:
        return answers.message(page)
    kept = [(name, value) for name, value in call.request.query.items() if name not in PLACE]
    url = f"{call.request.rel_url.raw_path}?{urlencode([*kept, ('cursor', page.next_cursor)])}"
    return answers.message(page.model_copy(update={"next_page_url": url}))
