"""Which paths the storage takes. Pure: it looks at the text alone, symbolic links are met in `tree`."""

from __future__ import annotations

from protocol.storage import InvalidPath

# The longest key of S3 and the longest name of Linux filesystems, so that a path that is fine here is fine everywhere.
LONGEST_PATH, LONGEST_COMPONENT = 1024, 255

TEMPORARY = ".tmp-"
"""How the name of an unfinished file begins. No path may name it: components never begin with a dot."""


def components(path: str) -> tuple[str, ...]:
    """The names of `path`, at least one. Raises InvalidPath with the reason."""
    names = tuple(path.split("/"))
    for name in names:
        if fault := _fault(name):
            raise InvalidPath(path, fault)
    if len(path.encode()) > LONGEST_PATH:
        raise InvalidPath(path[:80], f"the path is longer than {LONGEST_PATH} bytes")
    return names


def _fault(name: str) -> str | None:
    if not name:
        return "an empty component, or a slash at an end; paths are relative, `a/b/c`"
    if name.startswith("."):
        return "a component that begins with a dot"
    if any(character < " " or character == "\x7f" for character in name):
        return "a control character"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "not valid Unicode"
    return f"a component of more than {LONGEST_COMPONENT} bytes" if size > LONGEST_COMPONENT else None
