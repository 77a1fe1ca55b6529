"""Which tenant goes next: weighted start-time fair queueing over tenants, filtered by what they have waiting.

Each tenant is one flow with one start tag over all requirement signatures; what waits behind it is a bit mask of
lanes. Knows nothing of tasks or engines.
"""

from __future__ import annotations

from bisect import bisect_left

HALF_LIFE_S = 3600.0
"""How long until a service weighs half. Without it tenants of a scarce and of a plentiful kind of engine drift apart
without bound, and the one that is ahead waits for days when both meet. An hour keeps any catching up below 1.44 hours
of a tenant's own rate (the integral of the decay)."""

LEAST_COST_S = 0.001
"""A task that costs nothing still takes its turn."""

_BLOCK = 64
_REBASE_AT = 256.0  # half-lives; a float holds 1,023 doublings


class Flow:
    """A tenant's place in the queue. `key` orders it; `debt` is cost in seconds that the next charges take along.

    One that is not open stands in no order, whatever it has waiting: nobody steps over it.
    """

    __slots__ = ("block", "debt", "is_open", "key", "mask", "tenant", "weight")

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.weight = 1.0
        self.mask = 0
        self.debt = 0.0
        self.is_open = True
        self.key = (0.0, 0)
        self.block: _Block | None = None


class _Block:
    """A run of flows in order. `mask` covers at least what its flows have waiting; it is made exact when it misleads."""

    __slots__ = ("flows", "mask")

    def __init__(self, flows: list[Flow]) -> None:
        self.flows = flows
        self.mask = 0
        for flow in flows:
            flow.block = self
            self.mask |= flow.mask


def _key(flow: Flow) -> tuple[float, int]:
    return flow.key


def _last_key(block: _Block) -> tuple[float, int]:
    return block.flows[-1].key


class FlowOrder:
    """Flows sorted by key in blocks of 64 to 128, so that the first one with a lane in a mask is found in few steps."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []

    def add(self, flow: Flow) -> None:
        if not self._blocks:
            self._blocks.append(_Block([flow]))
            return
        at = min(bisect_left(self._blocks, flow.key, key=_last_key), len(self._blocks) - 1)
        block = self._blocks[at]
        block.flows.insert(bisect_left(block.flows, flow.key, key=_key), flow)
        block.mask |= flow.mask
        flow.block = block
        if len(block.flows) > 2 * _BLOCK:
            self._blocks[at : at + 1] = [_Block(block.flows[:_BLOCK]), _Block(block.flows[_BLOCK:])]

    def remove(self, flow: Flow) -> None:
        block = flow.block
        if block is None:
            return
        del block.flows[bisect_left(block.flows, flow.key, key=_key)]
        flow.block = None
        if not block.flows:
            self._blocks.remove(block)

    def first(self, mask: int) -> Flow | None:
        for block in self._blocks:
            if not block.mask & mask:
                continue
            for flow in block.flows:
                if flow.mask & mask:
                    return flow
            block.mask = 0
            for flow in block.flows:
                block.mask |= flow.mask
        return None

    def sort(self) -> None:
        flows = sorted((flow for block in self._blocks for flow in block.flows), key=_key)
        self._blocks = [_Block(flows[at : at + _BLOCK]) for at in range(0, len(flows), _BLOCK)]


class FairQueue:
    """Start tags over tenants. A tag never falls: what was charged too much is taken off the tenant's next charges."""

    def __init__(self) -> None:
        self._flows: dict[str, Flow] = {}
        self._order = FlowOrder()
        self._serial = 0
        self._virtual_time = 0.0
        self._epoch: float | None = None

    def flow(self, tenant: str) -> Flow:
        found = self._flows.get(tenant)
        if found is None:
            found = self._flows[tenant] = Flow(tenant)
        return found

    def set_weight(self, tenant: str, weight: float) -> None:
        """Holds for what is charged from now on."""
        self.flow(tenant).weight = weight

    def first(self, mask: int) -> Flow | None:
        """The tenant with the lowest start tag among those with something waiting in a lane of `mask`."""
        return self._order.first(mask)

    def show(self, flow: Flow, bit: int) -> None:
        """The tenant has something waiting in this lane. One that had nothing at all starts at the virtual time."""
        if flow.mask:
            flow.mask |= bit
            if flow.block is not None:
                flow.block.mask |= bit
            return
        flow.mask = bit
        self._place(flow, max(flow.key[0], self._virtual_time))

    def hide(self, flow: Flow, bit: int) -> None:
        """Nothing of the tenant waits in this lane any more."""
        flow.mask &= ~bit
        if not flow.mask:
            self._order.remove(flow)

    def shut(self, flow: Flow) -> None:
        """The tenant may not be served until `reopen`."""
        flow.is_open = False
        self._order.remove(flow)

    def reopen(self, flow: Flow) -> None:
        """It may be served again: like one that had nothing waiting, neither behind nor paid for the time it was out."""
        flow.is_open = True
        self._place(flow, max(flow.key[0], self._virtual_time))

    def charge(self, flow: Flow, cost_s: float, now: float) -> None:
        """Count a service that starts now; the tenant's start tag rises by cost / weight, as of now."""
        owed = max(cost_s, LEAST_COST_S) + flow.debt
        paid = max(owed, 0.0)
        flow.debt = owed - paid
        scale = self._scale(now)
        start = flow.key[0]
        self._virtual_time = max(self._virtual_time, start)
        if paid > 0.0:
            self._order.remove(flow)
            self._place(flow, start + paid / flow.weight * scale)

    def correct(self, flow: Flow, charged_s: float, true_s: float) -> None:
        """The true cost of an earlier charge is known."""
        flow.debt += max(true_s, LEAST_COST_S) - max(charged_s, LEAST_COST_S)

    def refund(self, flow: Flow, cost_s: float) -> None:
        """An earlier charge was for nothing: the task was not handed out."""
        flow.debt -= max(cost_s, LEAST_COST_S)

    def _place(self, flow: Flow, start: float) -> None:
        self._serial += 1
        flow.key = (start, self._serial)
        if flow.mask and flow.is_open:
            self._order.add(flow)

    def _scale(self, now: float) -> float:
        """What a second of work weighs now: instead of shrinking old services, newer ones weigh more."""
        if self._epoch is None:
            self._epoch = now
        half_lives = max((now - self._epoch) / HALF_LIFE_S, 0.0)
        if half_lives > _REBASE_AT:
            self._rebase(2.0**-half_lives)
            self._epoch, half_lives = now, 0.0
        return float(2.0**half_lives)

    def _rebase(self, factor: float) -> None:
        for flow in self._flows.values():
            flow.key = (flow.key[0] * factor, flow.key[1])
        self._virtual_time *= factor
        self._order.sort()
