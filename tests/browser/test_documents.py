"""Dropping documents on the page, as people do, and finding what they say."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from playwright.sync_api import Browser, Page, expect

from memory.documents import shelving, working
from openintern.tenancy.scope import org_scope
from tests.browser.conftest import Visit
from tests.conftest import Cast

pytestmark = pytest.mark.browser

GUIDE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Release guide 发布指南</title>
<h1>Deployment</h1><p>Before every deployment, feed the pangolin.</p>
<h1 style="break-before: page">回滚</h1><p>部署之前先备份数据库，然后检查回滚脚本是否可用。</p></html>"""

DROP = """([area, name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.querySelector(area).dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer }));
  }
}"""


@pytest.fixture
def base_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    server = replace(settings.CONFIG.server, base_dir=tmp_path)
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, server=server))
    return tmp_path


@pytest.fixture
def read(committed: Cast, base_dir: Path) -> Iterator[Callable[[], None]]:
    """Let a reader read what waits, beside the test; everything is forgotten in the end."""

    def act() -> None:
        def work() -> None:
            try:
                working.read_all([committed.bob.org])
            finally:
                connections.close_all()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()

    yield act
    with org_scope(committed.bob.org):
        for document in shelving.documents(committed.bob.scope):
            shelving.forget(committed.bob.scope, document.pk, at=document.created_at)


def printed(browser: Browser) -> bytes:
    """A PDF as a browser prints one: Chinese and English, two pages."""
    page = browser.new_page()
    page.set_content(GUIDE)
    content = page.pdf(outline=True, tagged=True)
    page.close()
    return content


def drop(page: Page, name: str, content: bytes, type: str) -> None:
    page.evaluate(DROP, ["#send-documents", name, type, b64encode(content).decode()])


def test_a_pdf_is_dropped_read_and_found_by_its_page(
    visit: Visit, browser: Browser, committed: Cast, read: Callable[[], None]
) -> None:
    page = visit.sign_in(committed.bob)
    page.goto("/memory/documents")

    drop(page, "发布 guide.pdf", printed(browser), "application/pdf")

    row = page.locator(".document-row", has_text="发布 guide.pdf")
    expect(row).to_contain_text("queued")
    read()
    expect(row).to_contain_text("remembered")  # without a reload
    expect(row).to_contain_text("2 pages")
    page.goto("/memory?q=部署回滚")
    hit = page.locator(".memory-row").first
    expect(hit).to_contain_text("page 2")
    expect(hit).to_contain_text("Release guide 发布指南")
    page.goto("/memory?q=pangolin")
    expect(page.locator(".memory-row").first).to_contain_text("page 1")


def test_what_is_no_document_is_told_beside_its_name(visit: Visit, committed: Cast, base_dir: Path) -> None:
    page = visit.sign_in(committed.bob)
    page.goto("/memory/documents")

    drop(page, "<b>evil</b>.exe", b"MZ\0\0", "application/x-msdownload")

    line = page.locator(".file.failed")
    expect(line).to_contain_text("<b>evil</b>.exe")
    expect(line.get_by_role("alert")).to_contain_text("Not a document that can be read")


def test_a_document_is_forgotten_and_brought_back_by_keyboard(
    visit: Visit, committed: Cast, read: Callable[[], None]
) -> None:
    page = visit.sign_in(committed.bob)
    page.goto("/memory/documents")
    page.get_by_text("Paste a text instead").press("Enter")
    page.get_by_label("Name", exact=True).fill("zoo.md")
    page.get_by_label("Text (Markdown").fill("The aardvark digs.")
    page.get_by_role("button", name="Remember").press("Enter")
    row = page.locator(".document-row", has_text="zoo.md")
    expect(row).to_be_visible()
    read()

    row.get_by_role("button", name="Forget").press("Enter")

    expect(row).to_have_count(0)
    page.get_by_role("link", name="forgotten").press("Enter")
    row.get_by_role("button", name="Bring back").press("Enter")
    expect(row).to_have_count(0)
    page.get_by_role("link", name="all", exact=True).press("Enter")
    expect(row).to_contain_text("remembered")
