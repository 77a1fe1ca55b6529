"""How renditions are cut and described for players, and how they are encrypted."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from protocol.base import Message


class SegmentFormat(StrEnum):
    TS = "ts"
    FMP4 = "fmp4"


class HlsPackaging(Message):
    segment_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    format: SegmentFormat = SegmentFormat.TS


class ProtectionScheme(StrEnum):
    """`aes-128` encrypts whole TS segments, for HLS alone; the others samples (ISO/IEC 23001-7), for CMAF."""

    AES_128 = "aes-128"
    CENC = "cenc"
    CBCS = "cbcs"


class DrmSystem(StrEnum):
    WIDEVINE = "widevine"
    PLAYREADY = "playready"
    FAIRPLAY = "fairplay"
    COMMON = "common"
    """The W3C's common system, which ClearKey players read."""


SYSTEM_IDS = {
    DrmSystem.WIDEVINE: "edef8ba979d64acea3c827dcd51d21ed",
    DrmSystem.PLAYREADY: "9a04f07998404286ab92e65be0885f95",
    DrmSystem.FAIRPLAY: "94ce86fb07ff4f43adb893d2fa968ca2",
    DrmSystem.COMMON: "1077efecc0b24d02ace33c1e52e2fb4b",
}
"""As DASH-IF lists them: the hexadecimal digits of their UUIDs."""


class Encryption(Message):
    """What is signalled; the keys come with each job. `clear_lead_seconds` at the start stay in the clear.

    The MP4s the segments are cut from are published only with `publishes_clear`.
    """

    scheme: ProtectionScheme
    systems: Annotated[tuple[DrmSystem, ...], Field(max_length=4)] = ()
    clear_lead_seconds: Annotated[int, Field(ge=0, le=600)] = 0
    publishes_clear: bool = False


_ANY_OF_TWO: JsonDict = {"anyOf": [{"properties": {"hls": {"const": True}}}, {"properties": {"dash": {"const": True}}}]}


class CmafPackaging(Message):
    """HLS and DASH from the same fragmented MP4 segments; at least one of the two. TS is for HLS alone."""

    model_config = ConfigDict(json_schema_extra=_ANY_OF_TWO)

    segment_seconds: Annotated[int, Field(ge=1, le=60)] = 6
    hls: bool = True
    dash: bool = True
    format: SegmentFormat = SegmentFormat.FMP4
    encryption: Encryption | None = None


KeyLabel = Literal["all", "audio", "sd", "hd", "uhd"]

SD_HEIGHT, HD_HEIGHT = 576, 1080
"""The tallest rendition of each, in pixels."""


def label_of(height: int) -> KeyLabel:
    """What the key of a picture is called, by the height that its profile says."""
    return "sd" if height <= SD_HEIGHT else "hd" if height <= HD_HEIGHT else "uhd"


Hex16 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""16 bytes in hexadecimal."""


class ContentKey(Message):
    """`label` chooses what it encrypts: all, or the sound, or pictures up to a size."""

    key_id: Hex16
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", repr=False)]
    label: KeyLabel = "all"


class ContentKeys(Message):
    """Given by the client with a job, kept sealed, told to the one engine that packages, and to nobody else.

    `pssh` are whole boxes in hexadecimal, for systems whose boxes the packager cannot make. `key_uri` stands in HLS
    playlists; without one players fetch the key from this server, who checks them.
    """

    keys: Annotated[tuple[ContentKey, ...], Field(min_length=1, max_length=5)]
    pssh: Annotated[tuple[Annotated[str, Field(pattern=r"^([0-9a-f]{2}){32,32768}$")], ...], Field(max_length=8)] = ()
    iv: Annotated[str, Field(pattern=r"^([0-9a-f]{16}|[0-9a-f]{32})$")] | None = Field(default=None, repr=False)
    key_uri: Annotated[str, Field(pattern=r"^(https|skd)://[!#-~]+$", max_length=2048)] | None = None

    @model_validator(mode="after")
    def _one_key_for_each(self) -> ContentKeys:
        labels = [key.label for key in self.keys]
        if len(set(labels)) != len(labels):
            raise ValueError("give each label once")
        if "all" in labels and len(labels) > 1:
            raise ValueError("a key for all stands alone")
        return self
