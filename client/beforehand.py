"""What can be told of a submission before its files go up: the server is asked without them, and it decides again with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from client.besides import Beside
from client.errors import ClientError, Unreachable
from protocol.care import ValidationReply
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import Attachment, JobInput, JobSubmission
from protocol.profiles import Profile

UNSENT = "upl_0"
"""An id that no upload has: everything else is checked before the upload is looked for."""

NO_ANSWER = (ErrorCode.RATE_LIMITED, ErrorCode.ROUTE_NOT_FOUND)
"""Refusals that say nothing of the submission; the second is an older server's."""


class Server(Protocol):
    """What is asked of a `ReelyardClient`."""

    async def validate(self, submission: JobSubmission) -> ValidationReply: ...
    async def profile(self, name: str) -> Profile: ...


def named(attached: Sequence[Beside]) -> dict[str, Attachment]:
    """Attachments that are not sent: what they are for follows from their names."""
    return {one.name: Attachment(upload_id=UNSENT, language=one.language) for one in attached}


def without_files(submission: JobSubmission, attached: Sequence[Beside]) -> JobSubmission:
    """The same but for what would have to be sent or fetched. A live input is nothing of the kind."""
    is_live = submission.input is not None and submission.input.live is not None
    fields: dict[str, object] = {} if is_live else {"input": JobInput(upload_id=UNSENT)}
    if attached:
        fields["attachments"] = named(attached)
    return submission.model_copy(update=fields)


async def check(server: Server, submissions: Iterable[JobSubmission], attached: Sequence[Beside]) -> None:
    """Raises ReelyardError as the submissions would. A server that is busy or in trouble is left to them."""
    asked: list[JobSubmission] = []
    for submission in submissions:
        one = without_files(submission, attached)
        if one not in asked:
            asked.append(one)
    for one in asked:
        try:
            await server.validate(one)
        except ReelyardError as error:
            if error.code not in (ErrorCode.UPLOAD_NOT_FOUND, *NO_ANSWER) and error.status < 500:
                raise
        except ClientError as error:
            if isinstance(error, Unreachable) and error.is_unsent:
                raise  # it was waited for, and nobody is there


async def check_keys(server: Server, submission: JobSubmission) -> None:
    """A dry run does without content keys, a job does not. Raises VALIDATION_FAILED where they are missing."""
    if submission.profile is None or submission.content_keys is not None:
        return
    try:
        profile = await server.profile(submission.profile)
    except (ReelyardError, ClientError):  # a key that may submit need not be one that may look
        return
    if (scheme := encrypts_by(profile, submission)) is not None:
        problem = f"is required: profile {profile.name} encrypts by {scheme}; give --content-keys FILE"
        details: dict[str, object] = {"problems": [{"field": "content_keys", "problem": problem}]}
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, f"content_keys: {problem}", details=details)


def encrypts_by(profile: Profile, submission: JobSubmission) -> str | None:
    """The scheme, None where the outputs stay in the clear."""
    wanted = submission.outputs
    packaging = wanted.packaging if "packaging" in wanted.model_fields_set else profile.packaging
    return str(packaging.encryption.scheme) if packaging is not None and packaging.encryption is not None else None
