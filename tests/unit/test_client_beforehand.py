"""What is asked of a server before a file goes up, and which of its answers keep the file here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from client import beforehand
from client.besides import Beside
from client.errors import ClientError, Unreachable, Unreadable
from protocol.care import ValidationReply
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import Attachment, JobInput, JobSubmission
from protocol.media import LiveInput
from protocol.packaging import CmafPackaging, ContentKey, ContentKeys, Encryption, ProtectionScheme
from protocol.profiles import OutputOverrides, Profile

SUBS = [Beside("subs", "en", Path("film.srt"))]
SECRET = CmafPackaging(encryption=Encryption(scheme=ProtectionScheme.CBCS))
KEYS = ContentKeys(keys=(ContentKey(key_id="0" * 32, key="1" * 32),))
GOOD = ReelyardError(ErrorCode.UPLOAD_NOT_FOUND)


@dataclass
class Answering:
    """A server that answers each question the same."""

    answer: Exception = GOOD
    packaging: CmafPackaging | None = None
    asked: list[JobSubmission] = field(default_factory=list)

    async def validate(self, submission: JobSubmission) -> ValidationReply:
        self.asked.append(submission)
        raise self.answer

    async def profile(self, name: str) -> Profile:
        return Profile(name=name, packaging=self.packaging)


async def test_one_question_stands_for_all_files_and_names_what_goes_with_them() -> None:
    server, stream = Answering(), JobInput(live=LiveInput(protocol="rtmp"))

    await beforehand.check(server, [JobSubmission(profile="web")] * 3 + [JobSubmission(input=stream, profile="live")], SUBS)

    attached = {"subs": Attachment(upload_id=beforehand.UNSENT, language="en")}
    unsent = JobInput(upload_id=beforehand.UNSENT)
    assert server.asked == [
        JobSubmission(input=unsent, profile="web", attachments=attached),
        JobSubmission(input=stream, profile="live", attachments=attached),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        ReelyardError(ErrorCode.VALIDATION_FAILED, "outputs"),
        ReelyardError(ErrorCode.FORBIDDEN),
        Unreachable("nobody is there", is_unsent=True),
    ],
)
async def test_what_a_file_would_not_mend_keeps_it_here(answer: Exception) -> None:
    with pytest.raises((ReelyardError, ClientError)) as raised:
        await beforehand.check(Answering(answer), [JobSubmission()], [])

    assert raised.value is answer


@pytest.mark.parametrize(
    "answer",
    [GOOD, *(ReelyardError(code) for code in (*beforehand.NO_ANSWER, ErrorCode.NO_ENGINE)), Unreadable(502, "a proxy")],
)
async def test_what_may_be_over_when_the_file_is_there_does_not(answer: Exception) -> None:
    await beforehand.check(server := Answering(answer), [JobSubmission()], [])

    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("packaging", "submission", "is_refused"),
    [
        (SECRET, JobSubmission(profile="web"), True),
        (SECRET, JobSubmission(profile="web", content_keys=KEYS), False),
        (SECRET, JobSubmission(profile="web", outputs=OutputOverrides(packaging=None)), False),
        (None, JobSubmission(profile="web"), False),
        (None, JobSubmission(profile="web", outputs=OutputOverrides(packaging=SECRET)), True),
        (SECRET, JobSubmission(), False),
    ],
    ids=["missing", "given", "taken out", "none needed", "put in", "a profile that the server chooses"],
)
async def test_keys_are_asked_for_where_the_profile_encrypts(
    packaging: CmafPackaging | None, submission: JobSubmission, is_refused: bool
) -> None:
    server, told = Answering(packaging=packaging), None
    try:
        await beforehand.check_keys(server, submission)
    except ReelyardError as error:
        told = error

    assert (told is not None) == is_refused
    assert told is None or (told.code, told.message.partition(":")[0]) == (ErrorCode.VALIDATION_FAILED, "content_keys")
