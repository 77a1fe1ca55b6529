"""What a server knows of tenants and profiles when another one changes them while it starts."""

from __future__ import annotations

from dataclasses import replace

from dispatch.core.records import ProfileRow, Tenant
from dispatch.ports import Commit
from dispatch.services.profiles import ProfileBook
from dispatch.services.tenants import TenantBook
from tests.unit.dispatch_jobs import PROFILES

OLD = Tenant("acme", 1.0, 0.0, max_queued=5)
NEW = replace(OLD, max_queued=1, version=2)


def test_a_tenant_that_was_changed_while_it_was_read_is_as_it_was_changed() -> None:
    book = TenantBook()
    book(Commit((), (), (), (), tenants=(NEW,)))
    book.load([OLD, replace(OLD, name="other")])

    assert (book.find("acme"), "other" in book) == (NEW, True)


def test_a_profile_that_was_changed_while_it_was_read_is_as_it_was_changed() -> None:
    text = next(iter(PROFILES.values())).model_dump_json()
    book = ProfileBook([])
    book(Commit((), (), (), (), profiles=(ProfileRow("own", text, 1.0, version=2),)))
    book.load([ProfileRow("own", text, 0.0), ProfileRow("other", text, 0.0)])

    found = {name: known.version for name in ("own", "other") if (known := book.known(name)) is not None}
    assert found == {"own": 2, "other": 1}
