"""Counts become figures: sums, averages, utilization, and settings without their secrets."""

from __future__ import annotations

import pytest

from dispatch.core.masking import masked
from dispatch.core.metering import HeldCount, JobCount
from dispatch.core.records import UsageRow
from dispatch.core.stats import Counts, figures, utilization
from protocol.figures import Figures
from protocol.states import JobState

HOUR = 3600.0


def test_figures_are_sums_over_tenants_and_days() -> None:
    counts = Counts(
        usage=(
            UsageRow("", "default", "", 10, 4, 1, 1, 3_000_000_000_000, 500, 4 * HOUR),
            UsageRow("", "acme", "", 5, 0, 2, 0, 1, 2, 0.0),
        ),
        open_jobs=(
            JobCount("default", JobState.PENDING, 1),
            JobCount("acme", JobState.RETRYING, 2),
            JobCount("acme", JobState.ASSIGNED, 1),
            JobCount("default", JobState.COMPLETING, 3),
        ),
        held=(HeldCount("acme", "eng_1", 1),),
    )

    assert figures(counts, {"eng_1": 2}) == Figures(
        total_jobs=15,
        pending=3,
        processing=4,
        completed=4,
        failed=3,
        total_input_bytes=3_000_000_000_001,
        total_output_bytes=502,
        total_input_tb=3.0,
        total_output_tb=0.0,
        avg_processing_seconds=HOUR,
        avg_processing_time_minutes=60.0,
        engine_utilization_percent=50.0,
        worker_utilization_percent=50.0,
    )
    assert figures(counts.of("acme"), {"eng_1": 2}).total_jobs == 5
    assert figures(counts.of("nobody"), {}).avg_processing_seconds == 0.0


@pytest.mark.parametrize(
    ("held", "slots", "percent"),
    [
        ([], {}, 0.0),
        ([], {"a": 4}, 0.0),
        ([("a", 1)], {"a": 4, "b": 4}, 12.5),
        ([("a", 64)], {"a": 1, "b": 1}, 50.0),
        ([("a", 1), ("a", 1)], {"a": 2}, 100.0),
        ([("gone", 3)], {"a": 1}, 0.0),
    ],
)
def test_an_engine_is_never_more_than_full(held: list[tuple[str, int]], slots: dict[str, int], percent: float) -> None:
    assert utilization([HeldCount("t", engine, count) for engine, count in held], slots) == percent


def test_secrets_of_settings_are_masked_and_nothing_else() -> None:
    told = masked(
        {
            "jwt": {"jwks_url": "https://me:hunter2@id.example.org/jwks", "secret": "s3cret", "secret_file": "/etc/key"},
            "api": {"require_idempotency_key": True, "token": None, "roots": ["/a", "http://u:p@h/"]},
            "password": "",
            "lease_s": 60.0,
        }
    )

    assert told == {
        "jwt": {"jwks_url": "https://********@id.example.org/jwks", "secret": "********", "secret_file": "/etc/key"},
        "api": {"require_idempotency_key": True, "token": None, "roots": ["/a", "http://********@h/"]},
        "password": "",
        "lease_s": 60.0,
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:pa/ss@h/db", "postgresql://********@h/db"),
        ("postgresql://u:p@ss@h/db", "postgresql://********@h/db"),
        ("postgresql://h/db?user=u&password=hush&sslmode=require", "postgresql://h/db?user=u&password=********&sslmode=require"),
        ("postgresql://h/db?sslPassword=hush", "postgresql://h/db?sslPassword=********"),
        ("https://cdn.example/path?x=1", "https://cdn.example/path?x=1"),
    ],
)
def test_a_password_in_a_url_is_masked_wherever_it_stands(url: str, shown: str) -> None:
    assert masked({"database": {"url": url}}) == {"database": {"url": shown}}
