"""Who this server is among those on its database, and how often it says so."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from config.dispatch import DispatchSettings
from dispatch.app.outside import Outside
from dispatch.app.secrets import keep_secret
from dispatch.app.work import LeaderParts
from dispatch.core.cluster import ServerRow
from dispatch.core.leading import Beat
from dispatch.ports import Clock, Ids
from dispatch.services.duties import Duty
from dispatch.services.leadership import LeadershipService
from dispatch.services.leading import Lead
from dispatch.services.registry import EngineRegistry
from dispatch.services.terms import Following, Loop, Term

SERVER_ID = "server.id"
ALONE = Beat(renew_s=300.0, lease_s=3600.0)
"""On SQLite nobody else can lead, as the lock of the data directory proves: a disk that stalls must not cost the lead."""


@dataclass(frozen=True, slots=True)
class ClusterParts:
    """`engines` has the registry behind it, which every server keeps; `following` what the leader alone follows."""

    lead: Lead
    term: Term
    leadership: LeadershipService
    engines: Following
    following: Following
    duties: tuple[Duty, ...]


def assemble_cluster(
    outside: Outside, settings: DispatchSettings, lead: Lead, leader: LeaderParts, registry: EngineRegistry
) -> ClusterParts:
    """Only names and order stand here, no decisions."""
    following = Following(leader.listeners)
    loops = (*leader.loops, *(Loop(duty.name, duty.run) for duty in leader.duties))
    term = Term(following, leader.parts, loops)
    leadership = LeadershipService(outside.store, lead, term, outside.clock, beat_of(settings))
    term.end()
    return ClusterParts(lead, term, leadership, Following((registry,)), following, leader.duties)


def beat_of(settings: DispatchSettings) -> Beat:
    if settings.database.url is None:
        return ALONE
    return Beat(renew_s=settings.cluster.renew_s, lease_s=settings.cluster.lease_s)


def server_of(data: Path, settings: DispatchSettings, ids: Ids, clock: Clock) -> ServerRow:
    """Its id is kept in the data directory, over all its runs. Raises Unusable for one that is empty."""
    now = clock.now()
    server_id = keep_secret(data, SERVER_ID, lambda: ids.new("srv", now))
    return ServerRow(server_id, ids.new("run", now), url_of(settings), importlib.metadata.version("reelyard"), now, now)


def url_of(settings: DispatchSettings) -> str:
    """Where others reach this server: as it is set, else where it listens; nothing where the port is not known yet."""
    if settings.cluster.url is not None:
        return settings.cluster.url.rstrip("/")
    host, _, port = settings.listen.rpartition(":")
    return "" if port == "0" else f"http://{host or '127.0.0.1'}:{port}"
