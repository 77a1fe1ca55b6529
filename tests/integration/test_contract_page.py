"""The page of the contract in a real browser: it shows every operation, breaks no policy, and its calls work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from protocol.operations import OPERATIONS, STREAMS
from protocol.webhooks import WebhookEvent
from tests.contract.api_server import served
from tests.integration.browser import BROWSER, opened

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]

HEADS = [operation for operation in OPERATIONS if operation.method == "GET" and operation.gives not in STREAMS]
SHOWN = (
    {operation.name for operation in OPERATIONS}
    | {f"head_{operation.name}" for operation in HEADS}
    | {"on_" + event.value.replace(".", "_") for event in WebhookEvent}
)
INTRUDE = """(() => {
  const script = document.createElement('script');
  script.textContent = 'window.intruded = true';
  document.body.append(script);
  return new Promise(done => requestAnimationFrame(() => done(window.intruded === true)));
})()"""
# A long list is drawn only where one looks, as its reader scrolls: so this goes down the page by half a screen at a time.
READ_ALL = """(async () => {
  const seen = new Set(), drawn = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  for (let y = 0; ; y += innerHeight / 2) {
    scrollTo({top: y, behavior: 'instant'});
    await drawn();
    document.querySelectorAll('.opblock .opblock-summary-operation-id').forEach(name => seen.add(name.textContent));
    if (y + innerHeight >= document.documentElement.scrollHeight) return [...seen];
  }
})()"""
SHOW_KEY = """(() => {
  const field = [...document.querySelectorAll('.auth-container')]
    .find(box => box.textContent.includes('ApiKey')).querySelector('input');
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, %s);
  field.dispatchEvent(new Event('input', {bubbles: true}));
  field.closest('.auth-container').querySelector('button.authorize').click();
  document.querySelector('.modal-ux .btn-done').click();
  return true;
})()"""


async def test_page_shows_every_operation_and_breaks_no_policy(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server, opened(f"{server.url}/docs", tmp_path / "browser") as page:
        await page.until("document.querySelector('.opblock')")
        shown = set(await page.run(READ_ALL))
        title = await page.run("document.querySelector('.info .title').textContent")
        complaints = list(page.complaints)
        intruded = await page.run(INTRUDE)
        await page.run("new Promise(done => requestAnimationFrame(() => done(1)))")

    assert (shown, title.startswith("Reelyard")) == (SHOWN, True)
    assert complaints == []
    assert (intruded, page.complaints != []) == (False, True), "a script from elsewhere would have been noticed"
    assert {asked for asked in page.asked if not asked.startswith((server.url, "data:"))} == set()
    assert f"{server.url}/openapi.json" in page.asked


async def test_call_is_tried_out_with_a_key(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as server, opened(f"{server.url}/docs#/version/version", tmp_path / "browser") as page:
        await page.until("document.querySelector('.auth-wrapper .authorize')")
        await page.run("document.querySelector('.auth-wrapper .authorize').click()")
        await page.until("document.querySelector('.modal-ux .btn-done')")
        await page.run(SHOW_KEY % json.dumps(server.key))
        await page.until("document.querySelector('#operations-version-version .execute')")
        await page.run("document.querySelector('#operations-version-version .execute').click()")
        await page.until("document.querySelector('#operations-version-version .live-responses-table .response')")
        status = await page.run(
            "document.querySelector('.live-responses-table .response .response-col_status').textContent.trim()"
        )
        body = await page.run("document.querySelector('.live-responses-table .highlight-code').textContent")

    assert (status, server.core.services.version in body) == ("200", True)
    assert page.complaints == []
