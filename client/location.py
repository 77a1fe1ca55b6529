"""Where the server is and with which key to speak to it, when nobody says so: from the data of a server on this box."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from client.errors import ClientCode, ClientError
from client.options import Remote

URL_FILE, KEY_FILE, REGISTRATION_FILE = Path("dispatch.url"), Path("secrets/admin.key"), Path("secrets/registration.token")


@dataclass(frozen=True, slots=True)
class Location:
    server: str
    key: str


def read_line(path: Path) -> str | None:
    """The one line of a small file, or None when there is no such file. Raises ClientError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ClientError(ClientCode.LOCAL_FILE, f"cannot read {path}: {reason}") from error


def locate(options: Remote) -> Location:
    """The admin key of this box goes to the server of this box alone, never to one named by `--server` elsewhere."""
    here = read_line(options.data / URL_FILE)
    server = options.server or here
    if server is None:
        raise ClientError(
            ClientCode.SERVER_UNKNOWN,
            f"no server is named, and none has run on {options.data}. Start one with `reelyard up`, or give --server.",
        )
    if options.key is not None:
        return Location(server, options.key)
    is_here = here is not None and server.rstrip("/") == here.rstrip("/")
    return Location(server, (read_line(options.data / KEY_FILE) or "") if is_here else "")
