"""The page of the contract: open to everybody, whole without a network, and nothing runs on it but its own files."""

from __future__ import annotations

import re
from pathlib import Path

from dispatch.api.docs import POLICY, TYPES
from tests.contract.api_server import head_of, served

REFERENCE = re.compile(r'(?:src|href)="([^"]+)"')


async def test_page_is_open_and_runs_nothing_but_its_own_files(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        page = await server.call("GET", "/docs", key=None)
        other = await server.call("GET", "/healthz", key=None)

    assert (page.status, page.headers["Content-Type"], page.headers["Cache-Control"]) == (200, "text/html", "no-cache")
    assert page.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert other.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert re.search(rb"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", page.body) is None


async def test_everything_the_page_names_is_served_from_here(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        page = (await server.call("GET", "/docs", key=None)).body.decode()
        named = REFERENCE.findall(page)
        answers = {path: await server.call("GET", path, key=None) for path in named}
        contract = await server.call("GET", "/openapi.json", key=None)

    told = {path: (answer.status, answer.headers["Content-Type"]) for path, answer in answers.items()}
    assert told == {f"/docs/{name}": (200, kind) for name, kind in TYPES.items() if name != "index.html"}
    assert all(answer.headers["Content-Security-Policy"] == POLICY for answer in answers.values())
    assert '"/openapi.json"' in answers["/docs/start.js"].body.decode()
    assert "http" not in page + answers["/docs/start.js"].body.decode()
    assert contract.status == 200
    style = answers["/docs/swagger-ui.css"].body.decode()
    assert "@import" not in style
    assert {found.lstrip("\"'")[:5] for found in re.findall(r"url\(([^)]{1,20})", style)} == {"data:"}


async def test_browser_that_holds_a_file_is_not_sent_it_again(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        whole = {path: await server.call("GET", path) for path in ("/docs", "/docs/swagger-ui-bundle.js")}
        again = {
            path: await server.call("GET", path, headers={"If-None-Match": answer.headers["ETag"]})
            for path, answer in whole.items()
        }
        head = await server.call("HEAD", "/docs/swagger-ui-bundle.js")

    assert [(answer.status, answer.body) for answer in again.values()] == [(304, b"")] * 2
    assert {path: answer.headers["ETag"] for path, answer in again.items()} == {
        path: answer.headers["ETag"] for path, answer in whole.items()
    }
    assert (head.status, int(head.headers["Content-Length"])) == (200, len(whole["/docs/swagger-ui-bundle.js"].body))


async def test_other_files_of_the_package_are_not_served(tmp_path: Path) -> None:
    names = ("index.html", "README.md", "LICENSE", "..%2fserver.py", "%2e%2e", "swagger-ui.css.map", "none")
    async with served(tmp_path) as server:
        told = {name: head_of(await server.call("GET", f"/docs/{name}", key=None)) for name in names}

    assert {status for status, _ in told.values()} == {404}
