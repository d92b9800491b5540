"""What models write is shown, and does nothing."""

from __future__ import annotations

import re
import time

import pytest

from openintern import markdown

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml,<svg onload=alert(1)>)",
    "[x]: javascript:alert(1)\n\n[x]",
    '<div hx-get="/x" hx-trigger="load" hx-vals="js:alert(1)" data-hx-on:click="alert(1)">x</div>',
    '[x](https://e.example "\\" onmouseover=\\"alert(1)")',
    "`<script>`{onclick=alert(1)}",
    "```html onload=alert(1)\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "<style>*{background:url(https://evil.example)}</style>",
    "<form action=https://evil.example><input name=x></form>",
    "[x](//evil.example/x)",
]
DANGEROUS_TAG = re.compile(r"<(script|img|svg|iframe|style|form|input|object|embed|link|meta|base)\b", re.I)
ATTRIBUTE = re.compile(r"<[a-z][^>]*?\s([a-z-]+)=", re.I)


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_that_acts_comes_out(attack: str) -> None:
    html = markdown.render(attack)

    assert not DANGEROUS_TAG.search(html)
    assert set(ATTRIBUTE.findall(html)) <= {"href", "title", "rel", "class", "tabindex", "start"}
    assert not re.search(r'href="(?!https?://|mailto:)', html)


def test_an_image_becomes_a_link_that_names_its_host() -> None:
    html = markdown.render("![chart][c]\n\n[c]: https://evil.example/p.png?secret=1")

    assert "<img" not in html
    assert 'rel="noopener noreferrer nofollow"' in html
    assert "(evil.example)" in html


def test_a_link_whose_words_hide_its_host_shows_it() -> None:
    assert "(evil.example)" in markdown.render("[our own site](https://evil.example/?d=1)")


def test_a_relative_link_keeps_its_words_and_loses_its_address() -> None:
    html = markdown.render("[README.md](README.md:12) and [out](/sign-out)")

    assert "README.md" in html
    assert "href" not in html


def test_code_is_coloured_by_classes_alone() -> None:
    html = markdown.render('```python\ndef f(): return "<b>"\n```')

    assert 'class="tok-k"' in html
    assert "style=" not in html
    assert "&lt;b&gt;" in html


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000_000,
        ">" * 59_000 + "x",
        "\n".join(["|" + "x|" * 50] + ["|" + "-|" * 50] + ["|" + "x|" * 50] * 2000),
        "[" * 59_000,
        "*a_ " * 14_000,
        "![a](https://e.example/" * 2500,
        "```python\n" + '"\\' * 25_000,
    ],
    ids=["10 MB", "quotes", "100,000 cells", "brackets", "emphasis", "images", "code"],
)
def test_a_page_of_any_answer_is_there_in_seconds(text: str) -> None:
    begun = time.process_time()

    html = markdown.render(text)

    assert time.process_time() - begun < 3
    assert len(html) < 3_000_000
