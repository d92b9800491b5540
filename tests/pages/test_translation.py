"""Whatever the pages say, they say in Chinese too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from tests.conftest import Person

ROOT = Path(__file__).resolve().parents[2]
TAG = re.compile(r"""\{%\s*translate\s+"((?:[^"\\]|\\.)*)"|_\("((?:[^"\\]|\\.)*)"\)""")
SOURCES = [*ROOT.glob("templates/**/*.html"), *ROOT.glob("openintern/**/*.py"), *ROOT.glob("runs/**/*.py")]


@pytest.fixture(scope="module")
def translations() -> dict[str, str]:
    with (ROOT / "locale/zh_Hans/LC_MESSAGES/django.po").open("rb") as catalogue:
        messages = read_po(catalogue, locale="zh_Hans")
    return {
        message.id if isinstance(message.id, str) else message.id[0]: message.string
        for message in messages
        if message.id and not message.fuzzy
    }


def test_every_text_of_the_pages_has_its_chinese(translations: dict[str, str]) -> None:
    said = {
        text
        for path in SOURCES
        if path.suffix == ".html"
        for groups in TAG.findall(path.read_text())
        for text in groups
        if text
    }

    assert len(said) > 60
    assert sorted(text for text in said if not translations.get(text)) == []


def test_placeholders_survive_translation(translations: dict[str, str]) -> None:
    placeholder = re.compile(r"%\(\w+\)[^a-z]*[a-z]|%[sd]")
    for text, chinese in translations.items():
        told = chinese if isinstance(chinese, str) else chinese[0]
        assert sorted(placeholder.findall(text)) == sorted(placeholder.findall(told)), text


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["page", "fragment"])
def test_a_refusal_speaks_the_readers_language_to_people_and_english_to_programs(
    alice: Person, headers: dict[str, str]
) -> None:
    chinese = {"Accept-Language": "zh-CN", **headers}

    page = alice.signed_in().post("/", {"input": " "}, headers=chinese)
    program = alice.with_key().post("/api/runs", {"input": " "}, content_type="application/json", headers=chinese)

    assert "不能为空" in page.content.decode()
    assert program.json()["error"]["message"] == "Must not be empty"


@pytest.mark.parametrize(
    ("path", "form", "told"),
    [
        ("/mcp-servers", {"name": "Bad Name"}, "必须是 1 到 20 个小写字母和数字"),
        ("/schedules", {"name": "", "input": "go"}, "请填写名称"),
    ],
)
def test_a_form_says_in_the_readers_language_what_is_wrong(
    alice: Person, path: str, form: dict[str, str], told: str
) -> None:
    page = alice.signed_in().post(path, form, headers={"Accept-Language": "zh-CN"})

    assert page.status_code == 400
    assert told in page.content.decode()
