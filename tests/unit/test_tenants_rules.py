"""What a tenant may be called, where its files lie, and how much it may have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core import quotas, tenancy, usage
from dispatch.core.quotas import Standing
from dispatch.core.records import Source, Tenant
from protocol.admin import TenantLimits, TenantPatch, TenantRequest
from protocol.errors import ErrorCode, ReelyardError
from protocol.recipes import InputLimits
from tests.unit.dispatch_jobs import NOW, make_job

ACME = Tenant("acme", 1.0, NOW, prefix="archive")
OTHERS = (Tenant("default", 1.0, NOW), ACME)


def refused_field(**fields: Any) -> str:  # any field of a request
    with pytest.raises(ReelyardError) as refused:
        tenancy.made(TenantRequest(**fields), OTHERS, now=NOW)
    return str(refused.value.details["problems"][0]["field"])  # type: ignore[index]  # rows


@pytest.mark.parametrize("name", ["staging", "inputs", "uploads", "acme", "default", "archive"])
def test_a_name_that_is_taken_or_reserved_or_where_others_files_lie_is_refused(name: str) -> None:
    assert refused_field(name=name) == "name"


@pytest.mark.parametrize("prefix", ["staging", "inputs", "uploads", "default", "archive"])
def test_a_directory_of_others_is_refused(prefix: str) -> None:
    assert refused_field(name="newsroom", prefix=prefix) == "prefix"


def test_a_name_is_free_where_its_bearer_keeps_its_files_elsewhere() -> None:
    made = tenancy.made(TenantRequest(name="newsroom", prefix="acme"), OTHERS, now=NOW)

    assert (made, tenancy.root_of(made)) == (Tenant("newsroom", 1.0, NOW, prefix="acme"), "acme")


def test_what_is_left_out_stays_and_null_takes_away() -> None:
    before = replace(ACME, max_running=3, max_queued=5, default_profile="web")

    after = tenancy.changed(before, TenantPatch(weight=2.0, max_queued=None), OTHERS, has_jobs=True)

    assert after == replace(before, weight=2.0, max_queued=None, version=2)


def test_a_change_of_nothing_is_no_new_version() -> None:
    assert tenancy.changed(ACME, TenantPatch(), OTHERS, has_jobs=True) is ACME
    assert tenancy.changed(ACME, TenantPatch(prefix="archive", weight=1.0), OTHERS, has_jobs=True) is ACME


@pytest.mark.parametrize("prefix", ["elsewhere", None])
def test_the_directory_is_fixed_by_the_first_job(prefix: str | None) -> None:
    patch = TenantPatch(prefix=prefix)

    with pytest.raises(ReelyardError, match="fixed once"):
        tenancy.changed(ACME, patch, OTHERS, has_jobs=True)
    assert tenancy.changed(ACME, patch, OTHERS, has_jobs=False) == replace(ACME, prefix=prefix or "", version=2)


def test_a_change_cannot_take_the_directory_of_another() -> None:
    with pytest.raises(ReelyardError, match="another tenant"):
        tenancy.changed(ACME, TenantPatch(prefix="default"), OTHERS, has_jobs=False)


def test_a_weight_cannot_be_taken_away() -> None:
    with pytest.raises(ReelyardError, match="weight"):
        tenancy.changed(ACME, TenantPatch(weight=None), OTHERS, has_jobs=False)


# --- quotas

LIMITED = replace(ACME, max_queued=3, max_bytes_per_month=100)


@pytest.mark.parametrize(
    ("has", "jobs", "size", "quota"),
    [
        (Standing(2, 0), 1, 100, None),
        (Standing(3, 0), 1, 0, "max_queued"),
        (Standing(2, 0), 2, 0, "max_queued"),
        (Standing(9, 0), 0, 50, None),
        (Standing(0, 60), 1, 41, "max_bytes_per_month"),
        (Standing(0, 60), 1, 40, None),
        (Standing(0, 500), 1, 0, None),
    ],
)
def test_a_quota_holds_to_the_last_job_and_byte(has: Standing, jobs: int, size: int, quota: str | None) -> None:
    refused = quotas.refusal(LIMITED, has, jobs=jobs, size=size, now=NOW)

    assert (None if refused is None else refused.details["quota"]) == quota


def test_a_refusal_tells_what_is_used_up_and_for_how_long() -> None:
    full = quotas.refusal(LIMITED, Standing(3, 0), jobs=1, size=0, now=NOW)
    heavy = quotas.refusal(LIMITED, Standing(0, 90), jobs=1, size=20, now=NOW)

    assert full is not None
    assert heavy is not None
    assert (full.code, full.status, full.details) == (
        ErrorCode.QUOTA_EXCEEDED,
        429,
        {"quota": "max_queued", "limit": 3, "used": 3},
    )
    assert (full.retry_after, heavy.retry_after) == (30.0, usage.month_end(NOW) - NOW)


def test_of_a_batch_the_first_ones_that_fit_are_taken() -> None:
    sizes = {"a": 60, "b": 60, "c": 30, "d": 1, "e": 0}
    jobs = [make_job(job_id=name, source=Source("server", f"/in/{name}", name, size)) for name, size in sizes.items()]

    refused = quotas.refusals(LIMITED, Standing(), jobs, now=NOW)

    assert {name: error.details["quota"] for name, error in refused.items()} == {"b": "max_bytes_per_month", "e": "max_queued"}


def test_the_bytes_of_an_upload_were_judged_before_they_came() -> None:
    job = make_job(source=Source("storage", "acme/raw/x", "x", 1000))

    assert quotas.refusals(LIMITED, Standing(0, 1000), [job], now=NOW) == {}


# --- days and months


@given(st.floats(min_value=0, max_value=4e9))
def test_a_month_ends_where_the_next_begins(moment: float) -> None:
    end = usage.month_end(moment)

    assert moment < end <= moment + 31 * 86_400
    assert usage.month_of(end - 0.001) == usage.month_of(moment) != usage.month_of(end)
    assert usage.day_of(end).endswith("-01")


def test_limits_of_a_tenant_go_before_those_of_all_and_null_takes_them_away() -> None:
    own = TenantLimits(max_bytes=1000, max_duration_s=5.0, strict=True)
    acme = tenancy.made(TenantRequest(name="acme", limits=own), [], now=NOW)
    changed = tenancy.changed(acme, TenantPatch(limits=TenantLimits(max_fps=30)), [acme], has_jobs=True)
    without = tenancy.changed(changed, TenantPatch(limits=None), [changed], has_jobs=True)
    untouched = tenancy.changed(acme, TenantPatch(weight=2.0), [acme], has_jobs=True)

    every = InputLimits(max_streams=9)
    assert tenancy.limits_of(acme, every) == InputLimits(max_streams=9, max_bytes=1000, max_duration_s=5.0, strict=True)
    assert tenancy.limits_of(changed, every) == InputLimits(max_streams=9, max_fps=30)
    assert (tenancy.limits_of(without, every), without.limits_json) == (every, None)
    assert tenancy.told_limits(untouched) == own
