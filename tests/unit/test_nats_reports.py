"""How reports travel over a broker: in what order, in which messages, under what names; and when it is left alone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.attempts import Report
from engine.core.broker import HEAVIEST, PHASES, Detour, phases
from engine.core.outbox import weigh
from protocol.broker import KINDS, bound_to, report_id, reports_id, sealing_key
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Ack, Complete, Fail, Release, Start
from protocol.results import AttemptResult, Failure


def report(kind: str, number: int, *, log: str = "") -> Report:
    task = f"tsk_{number}"
    match kind:
        case "ack":
            return Ack(task_id=task, token=number)
        case "start":
            return Start(task_id=task, token=number)
        case "complete":
            return Complete(task_id=task, token=number, result=AttemptResult(log_tail=log))
        case "release":
            return Release(task_id=task, token=number, reason="drained")
        case _:
            failure = Failure(failure_class=FailureClass.INTERNAL, code=ErrorCode.PLUGIN_FAILED, message="it broke")
            return Fail(task_id=task, token=number, failure=failure)


REPORTS = st.lists(st.builds(report, st.sampled_from(KINDS), st.integers(1, 9), log=st.sampled_from(["", "x" * 150_000])))


@settings(deadline=None)
@given(REPORTS)
def test_every_report_goes_once_and_knows_its_place(reports: list[Report]) -> None:
    batches = [batch for side_by_side in phases(reports) for batch in side_by_side]
    assert sorted(place for batch in batches for place in batch.places) == list(range(len(reports)))
    assert all(reports[place] is sent for batch in batches for place, sent in zip(batch.places, batch.reports, strict=True))


@settings(deadline=None)
@given(REPORTS)
def test_a_message_holds_one_kind_and_no_more_than_a_broker_takes(reports: list[Report]) -> None:
    for batch in (batch for side_by_side in phases(reports) for batch in side_by_side):
        assert {sent.type for sent in batch.reports} == {batch.kind}
        assert len(batch.reports) == 1 or sum(map(weigh, batch.reports)) <= HEAVIEST


@settings(deadline=None)
@given(REPORTS)
def test_an_ack_goes_before_the_start_and_that_before_the_end(reports: list[Report]) -> None:
    ranks = [[_rank(batch.kind) for batch in side_by_side] for side_by_side in phases(reports)]
    assert all(len(set(together)) == 1 for together in ranks)
    assert [together[0] for together in ranks] == sorted({together[0] for together in ranks})


def _rank(kind: str) -> int:
    return next(place for place, kinds in enumerate(PHASES) if kind in kinds)


def test_a_report_has_the_same_name_whenever_it_is_sent() -> None:
    assert report_id(report("complete", 7)) == report_id(report("complete", 7))
    assert report_id(report("ack", 7)) == "tsk_7-7-ack"
    assert reports_id((report("ack", 7),)) == "tsk_7-7-ack"


def test_another_result_has_another_name() -> None:
    names = {report_id(report("complete", 7)), report_id(report("complete", 7, log="x")), report_id(report("fail", 7))}
    assert len(names) == 3


def test_a_message_is_good_for_one_subject_and_an_answer_for_one_message() -> None:
    assert len({bound_to("a"), bound_to("b"), bound_to("a", "1"), bound_to("a", "2")}) == 4
    assert sealing_key("00" * 32) != sealing_key("01" * 32)


def test_the_broker_is_left_alone_longer_after_each_failure_in_a_row() -> None:
    detour, now, spans = Detour(), 100.0, []
    for _ in range(7):
        detour.failed(now)
        spans.append(next(span for span in (2.0, 4.0, 8.0, 16.0, 32.0, 60.0) if detour.is_over(now + span)))
    assert spans == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    detour.succeeded()
    assert detour.is_over(now)
