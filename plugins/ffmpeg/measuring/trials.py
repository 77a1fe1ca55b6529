"""What this machine's FFmpeg can measure, proven: each filter has worked on a few frames here."""

from __future__ import annotations

from collections.abc import Sequence

from plugins.media import scores
from plugins.media.calling import quiet
from protocol.extras import Metric
from protocol.plugins import Invocation, Limits, Outcome

TRIAL_LIMITS = Limits(wall_s=30.0, cpu_s=60, memory_bytes=2 << 30, file_bytes=1 << 20)

PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=0.4")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:duration=0.4")
SEEN = "scdet=threshold=10,blackdetect=d=0.2,cropdetect=limit=0.094:round=2:reset=1:skip=0,metadata=mode=print:file=-"
HEARD = "silencedetect=n=0.001:d=0.5,loudnorm=I=-23:TP=-1:LRA=11:print_format=json"

PAIR = scores.Pair("trial", "made", "reference", (160, 120))
LOOK, SCORE = "trial:look", "trial:score"


def probes(ffmpeg: str) -> tuple[Invocation, ...]:
    head = (ffmpeg, *(word if word != "level+error" else "level+info" for word in quiet()))
    look = (*PICTURE, *SOUND, "-vf", SEEN, "-af", HEARD, "-f", "null", "-")
    trials = [Invocation(name=LOOK, argv=(*head, *look), limits=TRIAL_LIMITS)]
    for metric in Metric:
        graph = ";".join(("[0:v]split[made][reference]", *scores.lines(PAIR, (metric,), 1)))
        argv = (*head, *PICTURE, "-filter_complex", graph, "-map", f"[{scores.outputs(PAIR, (metric,))[0]}]", "-f", "null", "-")
        trials.append(Invocation(name=f"{SCORE}:{metric.value}", argv=argv, limits=TRIAL_LIMITS))
    return tuple(trials)


def works(outcomes: Sequence[Outcome]) -> bool:
    return any(_succeeded(one) for one in outcomes if one.invocation.name == LOOK)


def metrics(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """A capability for each score that was measured: identical pictures, and the filter has told so."""
    told = {one.invocation.name: one for one in outcomes if _succeeded(one)}
    return tuple(
        f"metric:{metric.value}"
        for metric in Metric
        if (one := told.get(f"{SCORE}:{metric.value}")) and scores.read(one.stderr_tail, PAIR.name, (metric,)) is not None
    )


def problem(outcomes: Sequence[Outcome]) -> str | None:
    if not works(outcomes):
        return "FFmpeg lacks filters that measuring needs: scdet, blackdetect, cropdetect, silencedetect, loudnorm"
    lacking = sorted(metric.value for metric in Metric if f"metric:{metric.value}" not in metrics(outcomes))
    return f"FFmpeg cannot measure {', '.join(lacking)} here; builds with libvmaf can" if lacking else None


def _succeeded(outcome: Outcome) -> bool:
    return outcome.exit_code == 0 and not outcome.timed_out
