"""Servers on one database work with one signing key: what one of them seals or signs, each of them reads."""

from __future__ import annotations

import hashlib
import hmac

from dispatch.app.secrets import Unusable
from dispatch.ports import Store, Transaction

FACT = "signing key"
PURPOSE = b"reelyard: which signing key this farm has"


async def settle_signing_key(store: Store, signing: bytes, *, is_shared: bool) -> None:
    """Raises Unusable on a shared database whose farm has another key. A lone server that has a new one goes on with it."""
    own = hmac.new(signing, PURPOSE, hashlib.sha256).hexdigest()

    def settle(tx: Transaction) -> bool:
        known = tx.fact(FACT)
        if known == own:
            return True
        if known is not None and is_shared:
            return False
        tx.put_fact(FACT, own)
        return True

    if not await store.transact(settle):
        raise Unusable(
            "signing.key is not the one of this farm's servers; copy their whole secrets directory in the place of"
            " <data>/secrets here, or name it by cluster.secrets (an empty one was filled anew by this start)"
        )
