"""Inputs in buckets put together from the settings. The library of S3 is loaded only where they name one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

from config.dispatch import DispatchSettings
from config.s3_inputs import S3Inputs as Wanted
from dispatch.app.secrets import Unusable
from dispatch.services.s3_inputs import Buckets, S3Inputs
from protocol.objects import ObjectReach, ObjectSource

GROUP, ADAPTER = "reelyard.sources", "s3"


def load_buckets(settings: DispatchSettings) -> S3Inputs:
    """Raises Unusable where the library is missing or a source's credentials cannot be read."""
    if not settings.inputs.s3:
        return S3Inputs(())
    make = _adapter()
    try:
        return S3Inputs(tuple(_buckets(make, wanted) for wanted in settings.inputs.s3))
    except ValueError as wrong:
        raise Unusable(f"inputs.s3: {wrong}") from None


def _buckets(make: Callable[[ObjectReach], ObjectSource], wanted: Wanted) -> Buckets:
    reach = ObjectReach(
        endpoint=wanted.endpoint,
        public_endpoint=wanted.public_endpoint,
        region=wanted.region,
        path_style=wanted.path_style,
        credentials_file=None if wanted.credentials_file is None else str(wanted.credentials_file),
        profile=wanted.profile,
        ca_file=None if wanted.ca_file is None else str(wanted.ca_file),
    )
    return Buckets(make(reach), frozenset(wanted.buckets), frozenset(wanted.tenants))


def _adapter() -> Callable[[ObjectReach], ObjectSource]:
    points = importlib.metadata.entry_points(group=GROUP)
    try:
        made: Callable[[ObjectReach], ObjectSource] = points[ADAPTER].load()
    except (ImportError, KeyError):
        raise Unusable("inputs.s3: reading from buckets needs a library: pip install reelyard[s3]") from None
    return made
