"""What engines report over a broker while the database is away is kept: nothing is wrong with the message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from dispatch.ports import Store, Transaction
from dispatch.ports.broker import Broker
from dispatch.services.broker_desk import BrokerDesk, Letter, NotNow
from dispatch.services.engine_calls import EngineCalls
from protocol.errors import ErrorCode, ReelyardError
from protocol.subjects import Subjects


class Away:
    async def read(self, _function: Callable[[Transaction], Any]) -> Any:  # Any: as the port's
        raise ReelyardError(ErrorCode.DATABASE_UNAVAILABLE)


async def test_a_report_that_comes_while_the_database_is_away_is_kept_for_later() -> None:
    nobody = object()  # is not asked before it is known who reports
    desk = BrokerDesk(
        cast(Store, Away()), cast(EngineCalls, nobody), cast(Broker, nobody), Subjects("farm"), lambda: "nonce", None
    )

    with pytest.raises(NotNow, match="DATABASE_UNAVAILABLE"):
        await desk.report(Letter("farm.status.complete.eng_1", "eng_1", b"sealed", "m-1"))
