"""Links to watch as tables, whole: a server that knows no public address of its own tells only their paths. Pure."""

from __future__ import annotations

from client.table import Table, span, table_of
from protocol.live import LiveLink, LiveState, LiveView
from protocol.playback import PlaybackDrm, PlaybackReply

STATES = {
    LiveState.WAITING: "waiting: nobody publishes yet",
    LiveState.STARTING: "starting: pictures come in, nothing can be shown yet",
    LiveState.STREAMING: "streaming",
    LiveState.ENDED: "ended: the recording is being finished",
}


def absolute(link: str, server: str) -> str:
    return f"{server.rstrip('/')}{link}" if link.startswith("/") else link


def whole(reply: PlaybackReply, server: str) -> PlaybackReply:
    links = {"url": reply.url, "hls_url": reply.hls_url, "dash_url": reply.dash_url}
    fields: dict[str, object] = {name: link and absolute(link, server) for name, link in links.items()}
    if reply.drm is not None:
        keys = tuple(absolute(link, server) for link in reply.drm.key_urls)
        licences = {system: absolute(link, server) for system, link in reply.drm.licence_urls.items()}
        fields["drm"] = reply.drm.model_copy(update={"key_urls": keys, "licence_urls": licences})
    return reply.model_copy(update=fields)


def whole_link(link: LiveLink, server: str) -> LiveLink:
    return link.model_copy(update={"url": absolute(link.url, server)})


def playback_table(reply: PlaybackReply) -> Table:
    """The link that plays first; then what there is beside it."""
    facts: list[tuple[str, object]] = [("link", reply.url), ("type", reply.type)]
    facts += [(name, link) for name, link in (("hls", reply.hls_url), ("dash", reply.dash_url)) if link is not None]
    facts += _drm_facts(reply.drm) if reply.drm is not None else []
    return table_of(("FACT", "VALUE"), [*facts, ("expires", reply.expires_at)])


def _drm_facts(drm: PlaybackDrm) -> list[tuple[str, object]]:
    by = f" for {', '.join(drm.systems)}" if drm.systems else ""
    facts: list[tuple[str, object]] = [("encrypted", f"{drm.scheme}{by}")]
    facts += [("key", link) for link in drm.key_urls]
    return facts + [(f"licence {system}", link) for system, link in drm.licence_urls.items()]


def live_table(live: LiveView | None, link: LiveLink | None) -> Table:
    """Where to publish while the stream waits, where to watch while it runs."""
    facts: list[tuple[str, object]] = []
    if live is not None:
        facts += [("state", STATES[live.state])]
        facts += [("publish to", live.ingest_url)] if live.ingest_url is not None else []
        facts += [("came in", span(live.seconds))] if live.state is not LiveState.WAITING else []
        facts += [("stopped", live.stop_asked_at)] if live.stop_asked_at is not None else []
    if link is not None:
        facts += [("watch", link.url), ("expires", link.expires_at)]
    return table_of(("FACT", "VALUE"), facts)
