"""How the demo model reads: wishes, words, and the text of files."""

from __future__ import annotations

import re

import pytest
import re2

from runs.llm.demo.ranking.numbers import asked_number
from runs.llm.demo.text.blocks import blocks_of, sentences_of
from runs.llm.demo.text.quotes import fenced, neutral, plain
from runs.llm.demo.text.reading import Block, Reading
from runs.llm.demo.text.sentences import split_sentences
from runs.llm.demo.wishes import (
    Ask,
    Kind,
    LastAnswer,
    ListFiles,
    Literal,
    Outline,
    Overview,
    Replace,
    Save,
    Search,
    ShowFile,
    Summarise,
    Wish,
)
from runs.llm.demo.wishes.asking import kind_of
from runs.llm.demo.wishes.understanding import understand
from runs.llm.demo.words.stems import english_form, stem
from runs.llm.demo.words.terms import terms_of
from runs.llm.demo.words.vocabulary import GLOSSARY, KIN

# Wishes


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("Could you please show me README.md?", ShowFile("README.md")),
        ("show lines 5 to 9 of src/a.py", ShowFile("src/a.py", 5, 9)),
        ("请读笔记.md", ShowFile("笔记.md")),
        ("cat `my notes.txt`", ShowFile("my notes.txt")),
        ("tl;dr docs/plan.md", Summarise("docs/plan.md")),
        ("请用中文总结 README.md", Summarise("README.md")),
        ("Summarise a.md and docs/b.md", Summarise("a.md", ("docs/b.md",))),
        ("总结 a.md 和 b.md", Summarise("a.md", ("b.md",))),
        ("what classes does models.py define?", Outline("models.py")),
        ("list all Python files", ListFiles(pattern="**/*.py")),
        ("有多少个文件？", ListFiles(counting=True)),
        ("which files mention Redis?", Search("Redis")),
        ("How many times is lease mentioned?", Search("lease", counting=True)),
        ("describe the project", Overview()),
        ("把 a.toml 中的 3000 改成 8080", Replace("a.toml", "3000", "8080")),
        ("In a.py, replace 'x y' with \"z\"", Replace("a.py", "x y", "z")),
        ("总结README.md并保存到notes/a.md", Save("notes/a.md", Summarise("README.md"))),
        ("write hello world to hello.txt", Save("hello.txt", Literal("hello world"))),
        ("append “more” to notes.md", Save("notes.md", Literal("more"), append=True)),
        ("save the answer to notes.md", Save("notes.md", LastAnswer())),
    ],
)
def test_a_wish_is_understood(text: str, wish: Wish) -> None:
    assert understand(text) == wish


@pytest.mark.parametrize(
    "text",
    [
        "How do I save settings to a file?",
        "Why was foo replaced with bar in x.py?",
        "find out how cancel works",
        "运行失败后怎么办？",
    ],
)
def test_a_question_about_a_deed_is_a_question(text: str) -> None:
    assert isinstance(understand(text), Ask)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Where is it?", Kind.WHERE),
        ("which function renews it", Kind.WHERE),
        ("why?", Kind.WHY),
        ("How long is a lease?", Kind.TIME),
        ("what port does it listen on?", Kind.NUMBER),
        ("How do I start?", Kind.HOWTO),
        ("What is a lane?", Kind.WHAT),
        ("how does it work", Kind.HOW),
        ("在哪里定义？", Kind.WHERE),
        ("多久过期？", Kind.TIME),
        ("最多几个？", Kind.NUMBER),
        ("怎么安装？", Kind.HOWTO),
        ("什么是租约？", Kind.WHAT),
    ],
)
def test_the_form_of_a_question_is_seen(text: str, kind: Kind) -> None:
    assert kind_of(text) is kind


# Words


@pytest.mark.parametrize(
    "family",
    [
        "cancel cancels cancelled cancelling cancellation",
        "renew renewed renewing renewal",
        "organisation organisations organization",
        "licence license licensed",
        "retry retries retried",
        "run running ran runs",
        "die died dies dead",
        "lease leases leased",
    ],
)
def test_forms_of_a_word_find_each_other(family: str) -> None:
    for asked in family.split():
        for written in family.split():
            assert re.search(english_form(asked), written, re.IGNORECASE | re.ASCII), (asked, written)


@pytest.mark.parametrize(
    ("asked", "written"), [("port", "import"), ("lease", "release"), ("run", "trunk"), ("test", "latest")]
)
def test_a_word_is_not_found_inside_another(asked: str, written: str) -> None:
    assert not re.search(english_form(asked), written)


@pytest.mark.parametrize("written", ["port = 1", "server_port", "PORT", "ports"])
def test_a_word_is_found_in_a_name(written: str) -> None:
    assert re.search(english_form("port"), written, re.IGNORECASE | re.ASCII)


def test_a_name_is_not_found_at_the_beginning_of_a_word() -> None:
    [*_, redis] = terms_of("Does it need Redis?")

    assert redis.strength("without Redis") == redis.strength("class RedisBroker") == 1
    assert redis.strength("redistributing the work") == 0


def test_every_pattern_means_the_same_to_the_search_tool() -> None:
    words = {word for words in (*GLOSSARY.values(), *KIN) for word in words}

    for word in words:
        form = english_form(word)
        assert re2.search(form.replace("(?:", "("), word), word
        assert re.search(form, word, re.ASCII), word


def test_every_word_of_the_glossary_keeps_its_stem() -> None:
    assert all(len(stem(word)) >= 2 for words in GLOSSARY.values() for word in words)


@pytest.mark.parametrize(
    ("question", "labels"),
    [
        ("How does the queue decide which organisation goes next?", ["queue", "decide", "organisation", "next"]),
        ("Where is `org_scope` called in runs.queue?", ["org_scope", "called", "runs.queue"]),
        ("取消一个运行时会发生什么?", ["取消", "运行"]),
        ("默认端口是多少?", ["默认", "端口"]),
        ("鲸鱼吃什么？", ["鲸鱼", "鱼吃"]),
        ("Is it?", []),
    ],
)
def test_a_question_is_cut_into_its_terms(question: str, labels: list[str]) -> None:
    assert [term.label for term in terms_of(question)] == labels


def test_a_term_crosses_from_one_language_to_the_other() -> None:
    [chinese], [english] = terms_of("租约"), terms_of("lease")

    assert chinese.strength("a lease of 10 s") == 1
    assert english.strength("租约为 10 秒") == 1
    assert english.strength("a release") == 0


# Text


def blocks(path: str, text: str, *, start: int = 1) -> list[Block]:
    lines = tuple(text.splitlines())
    return blocks_of(Reading(path, lines, start, start + len(lines) - 1))


def said(path: str, text: str, *, start: int = 1) -> list[str]:
    return [s.text for block in blocks(path, text, start=start) for s in sentences_of(block) if s.spoken]


def test_sentences_keep_the_line_they_begin_on() -> None:
    lines = ("One ends here. Two goes", "on, e.g. like this. **Three.** It has a", "lead-in.")

    assert split_sentences(lines, 10) == [
        (10, "One ends here."),
        (10, "Two goes on, e.g. like this."),
        (11, "**Three.** It has a lead-in."),
    ]


def test_chinese_lines_join_without_a_blank_and_part_at_the_full_stop() -> None:
    assert split_sentences(("队列是公", "平的。租约会过期。"), 1) == [(1, "队列是公平的。"), (2, "租约会过期。")]


def test_a_question_and_its_answer_stay_together() -> None:
    assert split_sentences(("May I? No. Never.",), 1) == [(1, "May I? No."), (1, "Never.")]


def test_markdown_falls_into_blocks_under_their_headings() -> None:
    text = "# A\n\nwords\nmore\n\n## B\n- item\n  goes on\n- item\n\n| k | v |\n|---|---|\n| a | b |\n\n```sh\n# no heading\n```\n"

    kinds = [(block.kind, block.start, block.end, block.context) for block in blocks("a.md", text)]

    assert kinds == [
        ("heading", 1, 1, ""),
        ("prose", 3, 4, "A"),
        ("heading", 6, 6, "A"),
        ("item", 7, 8, "A › B"),
        ("item", 9, 9, "A › B"),
        ("row", 13, 13, "A › B"),
        ("fence", 15, 17, "A › B"),
    ]


def test_code_falls_into_definitions() -> None:
    text = "X = 1\n\n\nclass A:\n    def f(\n        self,\n    ) -> int:\n        return 1\n\n    @cached\n    def g(self): ...\n\n\ny = 2\n"

    owners = [(block.context, block.start, block.end) for block in blocks("a.py", text)]

    assert owners == [("", 1, 1), ("A", 4, 4), ("A.f", 5, 8), ("A.g", 10, 11), ("", 14, 14)]


def test_docstrings_and_comments_speak_and_long_strings_do_not() -> None:
    text = '"""Module."""\n\nSQL = """\nSELECT it. All.\n"""\n\ndef f():\n    """Does it.\n\n    Twice.\n    """\n    # Because.\n    return 1\n'

    assert said("a.py", text) == ["Module.", "Does it.", "Twice.", "Because."]


def test_lines_from_the_middle_of_a_string_are_not_taken_for_words() -> None:
    assert said("a.py", 'SELECT it\n"""\n\ndef f():\n    """Does it."""\n', start=40) == ["Does it."]


@pytest.mark.parametrize(
    ("text", "question", "timed", "number"),
    [
        ("held by a heartbeat (3 s); a lease that expires (10 s) is claimed", "lease", True, "10 s"),
        ("copied every night at 02:30 and kept for 35 days", "copied", True, "02:30"),
        ("LEASE_SECONDS = 10", "lease", True, "10"),
        ("`-p/--port 3000`, `--provider`", "port", False, "3000"),
        ("it costs $1,200 a year", "cost", False, "$1,200"),
        ("最多重试 3 次，每次间隔 10 分钟。", "重试", False, "3 次"),
        ("a lease is a promise", "lease", True, ""),
    ],
)
def test_the_number_asked_for_is_the_one_beside_its_name(text: str, question: str, timed: bool, number: str) -> None:
    assert asked_number(text, terms_of(question), timed=timed) == number


# Quotations


def test_running_text_loses_its_marks() -> None:
    assert plain("- **Cancel** raises it") == "**Cancel** raises it"
    assert plain("| `a` | b |") == "`a` — b"
    assert plain("an **open end") == "an open end"


def test_markup_in_a_quotation_is_harmless_outside_of_code() -> None:
    assert neutral("# <b>x</b> `<y>` ![p](u)") == "**&lt;b>x&lt;/b> `<y>` [p]**"


def test_a_fence_is_longer_than_those_it_holds() -> None:
    assert fenced(("````", "x"), "py").splitlines()[0] == "`````py"
