"""Commands about watching: what a job has made, and a stream while it lasts."""

from __future__ import annotations

from client import options as o
from client import playing
from client.errors import ExitCode
from client.progress import ending
from client.screen import program
from client.shell import Shell
from protocol.states import TERMINAL_JOB_STATES


async def playback(shell: Shell, options: o.PlaybackOptions) -> int:
    reply = playing.whole(await shell.client.playback(options.job_id), shell.client.server)
    shell.screen.document(reply)
    shell.screen.table(playing.playback_table(reply))
    return ExitCode.DONE


async def live(shell: Shell, options: o.LiveOptions) -> int:
    """The link is asked for wherever nothing is known of the stream, too: the server says what is the matter."""
    job = await shell.client.get(options.job_id)
    link = None
    if job.live is None or job.live.playback is not None:
        link = playing.whole_link(await shell.client.live(job.job_id), shell.client.server)
    shell.screen.document({"job_id": job.job_id, "live": job.live, "link": link})
    shell.screen.table(playing.live_table(job.live, link))
    return ExitCode.DONE


async def stop(shell: Shell, options: o.StopOptions) -> int:
    """What came in becomes the recording; a stream that nobody has published to is cancelled."""
    found = await shell.client.stop(options.job_id)
    shell.screen.document(found)
    if found.state in TERMINAL_JOB_STATES:
        shell.screen.line(ending(found))
    else:
        shell.screen.line(f"{found.job_id} ends; follow its recording with: {program()} job {found.job_id} --watch")
    return ExitCode.DONE
