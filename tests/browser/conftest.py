"""A real browser, a real server and a worker, around the scripted model.

The browser is looked for on the machine. Where there is none these tests are skipped and say so;
with OPENINTERN_REQUIRE_BROWSER=1 they fail instead.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from django.db import connections
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from openintern.errors import OpenInternError
from openintern.tenancy.scope import org_scope
from runs import lifecycle
from runs.llm import scripted
from runs.models import Run
from runs.queue import worker
from runs.queue.pulse import Pulse
from tests.conftest import PASSWORD, Cast, Person

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium(bundled: str) -> str | None:
    """Return a Chromium to run: CHROMIUM in the environment, one on the PATH, or the one that Playwright installed."""
    candidates = [os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), bundled]
    return next((each for each in candidates if each and Path(each).exists()), None)


@pytest.fixture(scope="session", autouse=True)
def queries_beside_a_loop() -> Iterator[None]:
    """Playwright keeps an event loop in the tests' thread; Django would take each query there for a mistake.

    These tests run in a call of their own (see the Makefile): what they need isn't good for the others.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        executable = find_chromium(playwright.chromium.executable_path)
        if executable is None:
            message = "No Chromium was found: install one, or name it in CHROMIUM"
            if os.environ.get("OPENINTERN_REQUIRE_BROWSER") == "1":
                pytest.fail(message)
            pytest.skip(message)
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """The web process, in a thread of this one; its address."""
    from openintern.asgi import application

    with django_db_blocker.unblock(), socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        server = uvicorn.Server(
            uvicorn.Config(application, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def work(committed: Cast) -> Iterator[Callable[[], None]]:
    """Let a worker take the next run, beside the test; it is waited for in the end."""
    threads: list[threading.Thread] = []

    def begin() -> None:
        thread = threading.Thread(target=_work_off, daemon=True)
        threads.append(thread)
        thread.start()

    yield begin
    _cancel_what_is_left(committed.alice)
    scripted.forget()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "the worker is still at it"


def _cancel_what_is_left(person: Person) -> None:
    """Leave nothing for the next test's worker, nor a model that is held for ever."""
    with org_scope(person.org):
        for run_id in Run.objects.unfinished().values_list("pk", flat=True):
            with suppress(OpenInternError):  # it has just ended by itself
                lifecycle.cancel_run(person.scope, run_id, at=timezone.now())


def _work_off() -> None:
    pulse = Pulse(owner=f"browser-test:{threading.get_ident()}", shutdown=None)
    try:
        while worker.work_once(pulse):
            pass
    finally:
        connections.close_all()


class Visit:
    """A browser window of somebody's, and whatever went wrong in it."""

    def __init__(self, browser: Browser, site: str, **options: Any) -> None:
        self.site = site
        self.context: BrowserContext = browser.new_context(base_url=site, **options)
        self.page: Page = self.context.new_page()
        self.wrongs: list[str] = []
        self.page.on("pageerror", lambda error: self.wrongs.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.wrongs.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("console", lambda message: self._listen(message.type, message.text))
        self.context.on("request", self._watch)

    def _listen(self, kind: str, text: str) -> None:
        if "Content Security Policy" in text or "Content-Security-Policy" in text:
            self.wrongs.append(f"policy: {text}")

    def _watch(self, request: Request) -> None:
        if not request.url.startswith((self.site, "data:", "blob:", "about:")):
            self.wrongs.append(f"request: {request.url}")

    def sign_in(self, person: Person) -> Page:
        """Come in by the door."""
        self.page.goto("/sign-in")
        self.page.get_by_label("Username").fill(person.user.username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.site}/")
        return self.page


@pytest.fixture
def visit(browser: Browser, site: str, committed: Cast) -> Iterator[Visit]:
    """A window; the test fails if anything in it went wrong: an error, a dialog, a request elsewhere, a breach of policy."""
    visit = Visit(browser, site, locale="en-GB")
    yield visit
    visit.context.close()
    assert visit.wrongs == []
