"""Who pays for a failure and how long it waits: the numbers of the design."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispatch.core.retry_policy import Verdict, after_death, after_failure, backoff, is_poisonous
from protocol.errors import FailureClass
from tests.unit.dispatch_jobs import NOW, submitted

TASK = submitted().tasks[0]


@pytest.mark.parametrize(
    ("failures", "span"), [(1, 1.0), (2, 5.0), (3, 25.0), (4, 125.0), (5, 625.0), (6, 1800.0), (7, 1800.0), (10_000, 1800.0)]
)
def test_the_wait_grows_five_fold_up_to_half_an_hour(failures: int, span: float) -> None:
    assert backoff(failures, chance=0.5) == pytest.approx(span)
    assert backoff(failures, chance=0.0) == pytest.approx(0.8 * span)
    assert backoff(failures, chance=0.999999) == pytest.approx(1.2 * span, rel=1e-4)


@pytest.mark.parametrize("kind", [FailureClass.INPUT, FailureClass.POLICY])
def test_what_lies_with_the_client_is_never_retried(kind: FailureClass) -> None:
    assert after_failure(TASK, kind, max_attempts=3, now=NOW, chance=0.5) == Verdict(None, 0, 0)


@pytest.mark.parametrize("kind", [FailureClass.ENGINE, FailureClass.INTERNAL])
@pytest.mark.parametrize(
    ("charged", "verdict"), [(0, Verdict(NOW + 1, 1, 0)), (1, Verdict(NOW + 5, 2, 0)), (2, Verdict(None, 3, 0))]
)
def test_charged_failures_end_at_the_third(kind: FailureClass, charged: int, verdict: Verdict) -> None:
    task = replace(TASK, charged=charged, infra_failures=7)

    assert after_failure(task, kind, max_attempts=3, now=NOW, chance=0.5) == verdict


@pytest.mark.parametrize(
    ("infra", "verdict"),
    [(0, Verdict(NOW + 1, 2, 1)), (1, Verdict(NOW + 5, 2, 2)), (18, Verdict(NOW + 1800, 2, 19)), (19, Verdict(None, 2, 20))],
)
def test_infra_failures_are_not_charged_and_end_at_the_twentieth_in_a_row(infra: int, verdict: Verdict) -> None:
    task = replace(TASK, charged=2, infra_failures=infra)

    assert after_failure(task, FailureClass.INFRA, max_attempts=3, now=NOW, chance=0.5) == verdict


def test_a_death_without_evidence_costs_a_second_and_nothing_else() -> None:
    task = replace(TASK, charged=2, infra_failures=19)

    assert after_death(task, now=NOW, chance=0.5) == Verdict(NOW + 1, 2, 19)


@pytest.mark.parametrize(
    ("deaths", "fitting", "poisonous"),
    [
        ((), 5, False),
        (("a",), 5, False),
        (("a", "a"), 5, False),
        (("a", "b"), 1, False),
        (("a", "b"), 2, True),
        (("a", "a", "a"), 1, True),
        (("a", "a", "a"), 0, True),
    ],
)
def test_three_deaths_or_two_engines_where_two_fit_are_poison(deaths: tuple[str, ...], fitting: int, poisonous: bool) -> None:
    assert is_poisonous(deaths, fitting_engines=fitting) is poisonous
