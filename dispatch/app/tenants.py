"""Wires tenants, their profiles, and what is counted of them."""

from __future__ import annotations

from dataclasses import dataclass

from dispatch.app.outside import Outside
from dispatch.ports import CommitListener
from dispatch.services.idempotency import Idempotency
from dispatch.services.profiles import ProfileBook, ProfileService
from dispatch.services.tenants import TenantBook, TenantService


@dataclass(frozen=True, slots=True)
class TenantParts:
    book: TenantBook
    service: TenantService
    profiles: ProfileBook
    profile_changes: ProfileService
    listeners: tuple[CommitListener, ...]


def assemble_tenants(outside: Outside, once: Idempotency) -> TenantParts:
    """Only names and order stand here, no decisions."""
    book, profiles = TenantBook(), ProfileBook(outside.profiles)
    service = TenantService(outside.store, once, book, profiles, outside.clock)
    changes = ProfileService(outside.store, profiles, outside.clock)
    return TenantParts(book, service, profiles, changes, (book, profiles))
