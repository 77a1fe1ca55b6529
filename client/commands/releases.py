"""Releases of the engine, published on the server's own box."""

from __future__ import annotations

from client import options as o
from client import releases
from client.errors import ExitCode
from client.shell import Shell

SHELF = "releases"


async def make_key(shell: Shell, options: o.ReleaseKeyOptions) -> int:
    public = releases.new_key(options.out)
    shell.screen.document({"key_file": str(options.out), "public_key": public})
    shell.screen.line(f"signing key: {options.out}; keep it off the server and off the engines")
    shell.screen.line(f'engines trust it by their setting: release_keys = ["{public}"]')
    return ExitCode.DONE


async def publish(shell: Shell, options: o.ReleasePublishOptions) -> int:
    key = releases.load_key(options.key_file)
    shelf = options.data / SHELF
    release = releases.publish(shelf, options.wheels, key, platforms=options.platform or ["any"], expires=options.expires)
    shell.screen.document(release)
    shell.screen.line(f"published {release.version} in {shelf}: engines that trust its key take it by themselves")
    return ExitCode.DONE
