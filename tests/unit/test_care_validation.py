"""What a dry run tells of an input, from the end of its job."""

from __future__ import annotations

from dispatch.core import planning, validation
from dispatch.core.planning import Demands, Frame
from dispatch.core.records import NO_TENANT, Graph, Source
from protocol.care import Problem
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Complete, Fail, Start
from protocol.media import MediaFacts
from protocol.profiles import Profile
from protocol.recipes import InputLimits
from protocol.results import AttemptResult, Failure
from tests.unit.dispatch_jobs import NOW, PROFILES, WEB, after, analyzed, granted, told, video

FRAME = Frame("job_1", NO_TENANT, 10, NOW, ("tsk_0", "tsk_1"))
SOURCE = Source("server", "/media/film.mp4", "film.mp4", 4_000_000)


def begun(profile: Profile = WEB) -> Graph:
    graph = validation.graph_of(FRAME, SOURCE, profile.model_dump_json(), InputLimits(), Demands((), ("site:oslo",)))
    return after(granted(graph, 1), Start(task_id="tsk_0", token=1))


def looked(facts: MediaFacts, profile: Profile = WEB) -> Graph:
    """Also when the profile can make nothing of it: then the engine is told so, and the job has failed."""
    return told(begun(profile), Complete(task_id="tsk_0", token=1, result=AttemptResult(analysis=facts)))[0]


def facts_of(width: int, height: int) -> MediaFacts:
    made = analyzed(1, video(width, height)).result.analysis
    assert made is not None
    return made


def test_job_of_nobody_is_one_urgent_look_with_no_word_on_size() -> None:
    graph = validation.graph_of(FRAME, SOURCE, WEB.model_dump_json(), InputLimits(), Demands(("encoder:x",), ("site:oslo",)))

    (task,) = graph.tasks
    recipe = planning.RECIPE.validate_json(task.recipe_json or "")
    assert (graph.job.tenant, graph.job.priority, task.kind, task.priority) == ("-", 10, "analyze", 10)
    assert (task.needs, task.tags) == (("encoder:x", "operation:analyze"), ("site:oslo",))
    assert recipe == planning.RECIPE.validate_python({"kind": "analyze", "limits": replace_limits()})


def replace_limits() -> InputLimits:
    return planning.limits_of(WEB, InputLimits()).model_copy(update={"min_width": 1, "min_height": 1})


def makeable(*can: str) -> dict[str, bool]:
    """Of all that the built-in profiles know, what can be made."""
    known = ("360p", "720p", "1080p", "2160p", "archive", "extract_audio")
    return {f"can_{name}": name in can for name in known}


def test_good_input_tells_what_can_be_made_of_it() -> None:
    graph = looked(facts_of(1920, 1080))

    reply = validation.reply_of(graph.job, PROFILES.values())

    assert graph.job.state == "completed"
    assert reply is not None
    assert (reply.valid, reply.problems) == (True, ())
    assert reply.transcoding_options == makeable("360p", "720p", "1080p", "archive", "extract_audio")
    assert reply.video_info is not None
    assert (reply.video_info.resolution, reply.video_info.filename) == ("1920x1080", "film.mp4")
    assert reply.estimate is not None
    assert reply.estimate.seconds > 1
    assert reply.estimate.bytes > 0


def test_small_input_is_measured_and_told_what_it_lacks() -> None:
    graph = looked(facts_of(320, 240))

    reply = validation.reply_of(graph.job, PROFILES.values())

    assert graph.job.state == "failed"
    assert reply is not None
    assert reply.problems == (
        Problem(code=ErrorCode.INPUT_TOO_SMALL, message="the picture is 320x240; profile web needs at least 640x360"),
    )
    assert (reply.valid, reply.estimate) == (False, None)
    assert reply.transcoding_options == makeable("archive", "extract_audio")
    assert reply.video_info is not None


def test_middling_input_can_be_made_in_part() -> None:
    reply = validation.reply_of(looked(facts_of(640, 360)).job, PROFILES.values())

    assert reply is not None
    assert reply.transcoding_options == makeable("360p", "archive", "extract_audio")
    assert reply.valid


def failed_with(kind: FailureClass) -> Graph:
    failure = Failure(failure_class=kind, code=ErrorCode.INPUT_CORRUPT, message="it does not decode")
    return after(begun(), Fail(task_id="tsk_0", token=1, failure=failure))


def test_input_the_engine_refuses_is_a_problem() -> None:
    reply = validation.reply_of(failed_with(FailureClass.INPUT).job, ())

    assert reply is not None
    assert (reply.valid, reply.video_info) == (False, None)
    assert reply.problems == (Problem(code=ErrorCode.INPUT_CORRUPT, message="it does not decode"),)


def test_a_broken_engine_says_nothing_about_the_input() -> None:
    assert validation.reply_of(failed_with(FailureClass.ENGINE).job, ()) is None
    assert validation.reply_of(begun().job, ()) is None


def test_the_submissions_own_profile_goes_before_the_others() -> None:
    strict = WEB.model_copy(update={"renditions": (WEB.renditions[0].model_copy(update={"min_source_width": 5000}),)})
    name = f"can_{WEB.renditions[0].name}"

    options = validation.options(facts_of(1920, 1080), (strict, WEB))

    assert (options[name], sorted(options)) == (False, ["can_360p", "can_720p", "can_extract_audio"])


def test_more_renditions_weigh_more_and_never_more_than_the_source() -> None:
    one = validation.reply_of(looked(facts_of(640, 360)).job, ())
    both = validation.reply_of(looked(facts_of(1280, 720)).job, ())
    thin = validation.reply_of(looked(facts_of(1280, 720).model_copy(update={"bitrate": 1000})).job, ())

    assert one is not None
    assert both is not None
    assert thin is not None
    assert one.estimate is not None
    assert both.estimate is not None
    assert thin.estimate is not None
    assert thin.estimate.bytes < one.estimate.bytes < both.estimate.bytes
