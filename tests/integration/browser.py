"""A headless Chromium, spoken to by its DevTools protocol: one page, what it asks for, and what it complains about."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

Json = dict[str, Any]  # Any: what a browser tells has no narrower type
NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for found in map(shutil.which, NAMES) if found is not None), None)

# `--no-sandbox`: a browser in a container of root has no other way, and it opens our own pages alone. The rest keeps it
# from calling home.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)


@dataclass
class Page:
    """`asked` are the URLs it loaded, `complaints` what the console and the policy had to say."""

    socket: aiohttp.ClientWebSocketResponse
    session: str = ""
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def send(self, method: str, **parameters: Any) -> Json:  # Any: JSON
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        await self.socket.send_json({**message, "sessionId": self.session} if self.session else message)
        while True:
            told: Json = await self.socket.receive_json(timeout=60)
            if told.get("id") == number:
                assert "error" not in told, told
                result: Json = told["result"]
                return result
            self._note(told)

    def _note(self, event: Json) -> None:
        told = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(told["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(told["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["exceptionDetails"]))
            case "Audits.issueAdded" if told["issue"]["code"] == "ContentSecurityPolicyIssue":
                self.complaints.append(str(told["issue"]["details"]))

    async def run(self, script: str) -> Any:  # Any: whatever the script gives
        """The value of an expression; a promise is waited for."""
        told = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, timeout=60_000)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until the expression gives something; it is looked at after every change of the page."""
        await self.run(
            f"""new Promise(done => {{
              const look = () => {{ if ({condition}) {{ watch.disconnect(); done(true); }} }};
              const watch = new MutationObserver(look);
              watch.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}});
              look();
            }})"""
        )


@asynccontextmanager
async def opened(url: str, directory: Path) -> AsyncIterator[Page]:
    assert BROWSER is not None
    child = await asyncio.create_subprocess_exec(
        BROWSER,
        *FLAGS,
        f"--user-data-dir={directory}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with aiohttp.ClientSession() as http, http.ws_connect(await _address(child), max_msg_size=0) as socket:
            page = Page(socket)
            target = await page.send("Target.createTarget", url="about:blank")
            page.session = (await page.send("Target.attachToTarget", targetId=target["targetId"], flatten=True))["sessionId"]
            for part in ("Page", "Network", "Log", "Runtime", "Audits"):
                await page.send(f"{part}.enable")
            await page.send("Page.navigate", url=url)
            yield page
    finally:
        child.terminate()
        await child.wait()


async def _address(child: asyncio.subprocess.Process) -> str:
    assert child.stderr is not None
    async with asyncio.timeout(60):
        async for line in child.stderr:
            if b"DevTools listening on " in line:
                return line.decode().partition("DevTools listening on ")[2].strip()
    raise AssertionError("the browser ended before it listened")
