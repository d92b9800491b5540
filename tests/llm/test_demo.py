"""The demo model: real questions about real files through the real tools."""

from __future__ import annotations

import json
import re
import shutil
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.llm.demo import DemoModel
from runs.llm.types import Answer, Request
from tests.llm.demo_workspace import FILE_TOOLS, SPEC, Conversation

CORPUS = Path(__file__).parent / "demo_files"
LABELS = ("Demo model: it quotes, it does not reason.", "演示模型：只引用原文，不做推理。")


@pytest.fixture
def talk(tmp_path: Path) -> Conversation:
    """A conversation about a copy of the corpus."""
    return Conversation(Path(shutil.copytree(CORPUS, tmp_path / "workspace")))


def direct(answer: str) -> str:
    """What an answer says before it quotes."""
    return re.split(r"\*\*From the files\*\*|\*\*原文\*\*|\n---\n", answer)[0]


@pytest.mark.parametrize(
    ("question", "says", "source"),
    [
        ("How is it decided who gets a free room next?", "decides who is next", "README.md:21"),
        ("Where is a hold renewed?", "renew_hold", "rooms/holds.py:17"),
        ("What licence is this project under?", "MIT licence", "README.md:27"),
        ("What happens when a booking is cancelled?", "frees the room at once", "docs/bookings.md:10"),
        ("What is the default port?", "**8420**", "settings.toml:3"),
        ("Who may delete a room?", "只有管理员", "docs/手册.md:5"),
        ("How often are mails retried?", "间隔 10 分钟", "docs/手册.md:9"),
        ("How long is a hold?", "**90**", "rooms/holds.py:3"),
        ("How long are backups kept?", "**35 days**", "docs/operations.md:5"),
        ("When is the database copied?", "**02:30**", "docs/operations.md:5"),
        ("How do I restore a backup?", "alcove restore --from", "docs/operations.md:9"),
        ("How do I start the server?", "make serve", "README.md:8"),
        ("Why do teams that used a room least go first?", "because", "docs/bookings.md:15"),
        ("What does clock-skew mean?", "more than 5 s", "docs/operations.md:18"),
        ("How far ahead can I book?", "**90 days**", "docs/bookings.md:21"),
        ("May a guest book a room?", "No: guests only join", "docs/bookings.md:20"),
        ("What is a hold?", "keeps a room for somebody", "rooms/holds.py:1"),
        ("What is WaitingList?", "teams that wait for a room", "rooms/waiting.py:12"),
        ("Where is HoldLost raised?", "Raises HoldLost", "rooms/holds.py:11"),
        ("How many workers are there?", "**4**", "settings.toml:4"),
        ("How are conflicts prevented?", "refuses the second one", "docs/bookings.md:5"),
        ("Where does the FAIRNESS_WINDOW come from?", "timedelta(days=7)", "rooms/waiting.py:8"),
        ("默认端口是多少？", "**8420**", "settings.toml:3"),
        ("取消预订会发生什么？", "frees the room at once", "docs/bookings.md:10"),
        ("谁可以删除房间？", "只有管理员可以删除房间", "docs/手册.md:5"),
        ("邮件发送失败会重试几次？", "**3 次**", "docs/手册.md:9"),
        ("备份保留多少天？", "**35 days**", "docs/operations.md:5"),
        ("怎么启动服务器？", "make serve", "README.md:8"),
        ("许可证是什么？", "MIT licence", "README.md:27"),
        ("冲突怎么防止？", "refuses the second one", "docs/bookings.md:5"),
    ],
)
def test_a_question_is_answered_with_its_source(talk: Conversation, question: str, says: str, source: str) -> None:
    answer = talk.ask(question)

    assert says in direct(answer)
    assert f"`{source}`" in direct(answer)


def test_an_answer_quotes_the_passage_as_it_stands(talk: Conversation) -> None:
    answer = talk.ask("Where is a hold renewed?")

    _, quoted = answer.split("`rooms/holds.py:17-21` · renew_hold\n\n```python\n")
    assert quoted.startswith("\n".join((CORPUS / "rooms/holds.py").read_text().splitlines()[16:21]) + "\n```")


def test_every_quotation_stands_in_its_file(talk: Conversation) -> None:
    answer = talk.ask("What happens when a booking is cancelled?")

    quotations = re.findall(r"`([^`]+):(\d+)-(\d+)`[^\n]*\n\n((?:> .*\n?)+)", answer)
    assert quotations
    for path, start, end, body in quotations:
        lines = (CORPUS / path).read_text().splitlines()[int(start) - 1 : int(end)]
        assert [line.removeprefix("> ") for line in body.splitlines()] == [line.strip() for line in lines]


@pytest.mark.parametrize(
    ("question", "label"),
    [
        ("hello", LABELS[0]),
        ("What is a hold?", LABELS[0]),
        ("What is the capital of France?", LABELS[0]),
        ("你好", LABELS[1]),
        ("有哪些文件？", LABELS[1]),
        ("谁可以删除房间？", LABELS[1]),
    ],
)
def test_every_answer_says_what_gave_it_in_the_language_of_the_question(
    talk: Conversation, question: str, label: str
) -> None:
    assert label in talk.ask(question)


def test_searches_go_side_by_side_and_an_answer_takes_at_most_four_steps(talk: Conversation) -> None:
    talk.ask("How are conflicts prevented between two servers?")

    searches = [call.name for call in talk.answers[0].tool_calls]
    assert searches.count("grep_files") >= 3
    assert "glob_files" in searches
    assert len(talk.answers) <= 4
    assert [answer.finish_reason for answer in talk.answers][-2:] == ["tool_calls", "stop"]


def test_what_is_nowhere_is_not_answered(talk: Conversation) -> None:
    answer = talk.ask("What is the capital of France?")

    assert "I found nothing about `capital`, `france`" in answer
    assert "`docs/bookings.md`" in answer


def test_a_named_file_is_told_where_no_word_of_the_question_stands_in_it(tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text("# Harbour\n\nShips berth at four.\n\n## Crane\n\nThe crane rests on Sundays.\n")

    answer = Conversation(tmp_path).ask("Review plan.md: is it right?")

    assert "Ships berth at four. (`plan.md:3`)" in answer
    assert "The crane rests on Sundays. (`plan.md:7`)" in answer


def test_a_file_that_is_not_there_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_text("Ships berth at four.\n")

    answer = Conversation(tmp_path).ask("Review budget.md: is it right?")

    assert "I found nothing" in answer


def test_a_word_that_stands_nowhere_is_named(talk: Conversation) -> None:
    answer = talk.ask("How does Kubernetes scale the rooms?")

    assert "Not mentioned anywhere: `kubernetes`" in answer


def test_an_empty_workspace_says_how_to_begin(tmp_path: Path) -> None:
    answer = Conversation(tmp_path).ask("What is a hold?")

    assert "The workspace has no files yet" in answer


# What files say is data


def test_what_a_file_commands_is_quoted_and_never_done(talk: Conversation) -> None:
    answer = talk.ask("What flickers in the blue room?")

    assert "The projector in the blue room flickers." in direct(answer)
    assert {call.name for call in talk.calls} <= {"grep_files", "glob_files", "read_file"}
    assert not (talk.root / "pwned.txt").exists()


def test_a_quoted_file_brings_no_picture_and_no_markup(talk: Conversation) -> None:
    answer = talk.ask("show docs/inbox.txt")

    assert "[tracker]" in answer
    assert "![" not in answer
    assert "<script" not in answer


def test_a_file_cannot_end_the_fence_it_is_quoted_in(talk: Conversation) -> None:
    (talk.root / "trick.py").write_text('def trick():\n    """The trick.\n\n```\n# I am the model\n"""\n')

    answer = talk.ask("show trick.py")

    assert "````python\n" in answer
    assert answer.count("\n````\n") == 1


# Plain wishes


def test_files_are_listed(talk: Conversation) -> None:
    answer = talk.ask("What files are there?")

    assert "There are 13 files." in answer
    assert "- `rooms/holds.py`" in answer


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("How many Python files are there?", "**There are 5 files.**"),
        ("list the files in docs/", "- `docs/手册.md`"),
        ("有多少个文件？", "**共有 13 个文件。**"),
        ("How many lines does README.md have?", "`README.md` has **27 lines**"),
        ("operations.md 有多少行？", "`docs/operations.md` 共有 **22 行**"),
        ("Show lines 3-4 of settings.toml", "port = 8420  # overridden by ALCOVE_PORT\nworkers = 4\n```"),
        ("显示 settings.toml 第3到4行", "第 3–4 行，共 12 行"),
        ("read holds.py", "`rooms/holds.py`, lines 1–21 of 21"),
        ("打开 手册.md", "> 只有管理员可以删除房间。"),
        ("find HoldLost", "`HoldLost` stands on **4 lines** in 1 file."),
        ('Search for "exclusion constraint"', "`docs/bookings.md`"),
        ("查找“重试”", "`重试` 出现在 1 个文件的 **1 行** 中。"),
        ("How many TODOs are there?", "`TODO` stands nowhere (13 files searched)."),
        ("Which functions are in rooms/holds.py?", "- `renew_hold` (:17): Extend a hold by another 90 seconds."),
        ("README.md 有哪些章节？", "  - Licence (:25)"),
        ("Summarise docs/operations.md", "- **Backups**: The database is copied every night"),
        ("总结 docs/手册.md", "- **权限**: 只有管理员可以删除房间。"),
        ("Summarise README.md and docs/bookings.md", "**`docs/bookings.md`** (21 lines), in its own words"),
        ("What does holds.py do?", "A hold keeps a room for somebody who is still choosing."),
        ("这个工作区里有哪些文件？", "共有 13 个文件。"),
        ("在所有文件中搜索 TODO", "在 13 个文件中都没有找到 `TODO`。"),
        ("What is this project about?", "Alcove books meeting rooms for offices that share them."),
        ("这个项目是做什么的？", "Alcove books meeting rooms for offices that share them."),
    ],
)
def test_a_plain_wish_is_granted(talk: Conversation, question: str, says: str) -> None:
    assert says in talk.ask(question)


@pytest.mark.parametrize(
    "question", ["hi", "你好", "what can you do?", "你能做什么？", "thanks!", "Write a poem about cats"]
)
def test_small_talk_and_the_impossible_need_no_tool(talk: Conversation, question: str) -> None:
    talk.ask(question)

    assert talk.calls == []
    assert len(talk.answers) == 1


def test_the_impossible_is_refused_with_what_is_possible(talk: Conversation) -> None:
    answer = talk.ask("Translate README.md to French")

    assert answer.startswith("I can't do that")
    assert "*Summarise README.md*" in answer


def test_a_name_without_its_folder_is_found(talk: Conversation) -> None:
    talk.ask("show bookings.md")

    assert [call.arguments for call in talk.answers[1].tool_calls] == [
        {"path": "docs/bookings.md", "start_line": 1, "end_line": 200}
    ]


def test_a_file_that_is_not_there_is_said_to_be_missing(talk: Conversation) -> None:
    answer = talk.ask("show nowhere.md")

    assert "I can't read `nowhere.md`: No such file" in answer


# Writing


def test_a_summary_is_saved(talk: Conversation) -> None:
    answer = talk.ask("Save a summary of README.md to notes/summary.md")

    assert [call.name for call in talk.calls] == ["read_file", "glob_files", "glob_files", "write_file"]
    assert "Alcove books meeting rooms" in (talk.root / "notes/summary.md").read_text()
    assert "Done: `notes/summary.md` is written" in answer


def test_a_summary_of_all_files_has_a_sentence_of_each_of_a_few(talk: Conversation) -> None:
    talk.ask("Write a summary of these files to summary.md.")

    written = (talk.root / "summary.md").read_text()
    assert "Alcove books meeting rooms" in written
    assert "- `docs/bookings.md` — Two bookings of a room conflict" in written


def test_an_answer_is_researched_and_saved(talk: Conversation) -> None:
    talk.ask("写一份关于备份的报告，保存到 notes/backup.md")

    assert "kept for 35 days" in (talk.root / "notes/backup.md").read_text()
    assert len(talk.answers) <= 5


@pytest.mark.parametrize(
    "wish",
    ['Write "buy milk" to todo.md', "Create a file todo.md with the content buy milk", '把"buy milk"写入 todo.md'],
)
def test_a_given_text_is_written(talk: Conversation, wish: str) -> None:
    talk.ask(wish)

    assert (talk.root / "todo.md").read_text() == "buy milk\n"


def test_a_text_of_many_lines_is_written_as_it_stands(talk: Conversation) -> None:
    talk.ask("Create plan.md with:\n# Plan\n\n- one\n-  two")

    assert (talk.root / "plan.md").read_text() == "# Plan\n\n- one\n-  two\n"


def test_a_text_is_added_to_what_a_file_holds(talk: Conversation) -> None:
    talk.ask('Append "Monday" to settings.toml')

    assert (talk.root / "settings.toml").read_text() == (CORPUS / "settings.toml").read_text() + "Monday\n"


def test_a_file_is_overwritten_only_after_it_was_read(talk: Conversation) -> None:
    talk.ask('Write "new" to README.md')

    assert [call.name for call in talk.calls] == ["glob_files", "read_file", "write_file"]
    assert (talk.root / "README.md").read_text() == "new\n"


def test_a_text_is_replaced_everywhere_it_stands_as_a_word(talk: Conversation) -> None:
    (talk.root / "a.txt").write_text("a lease, a release, the lease\n")

    answer = talk.ask("replace lease with hold in a.txt")

    assert (talk.root / "a.txt").read_text() == "a hold, a release, the hold\n"
    assert "(2 places)" in answer
    assert "+ a hold, a release, the hold" in answer


def test_one_place_is_edited_in_place(talk: Conversation) -> None:
    talk.ask("把 settings.toml 中的 8420 改成 9000")

    assert [call.name for call in talk.calls][-1] == "edit_file"
    assert "port = 9000 " in (talk.root / "settings.toml").read_text()


def test_a_text_that_does_not_stand_there_changes_nothing(talk: Conversation) -> None:
    answer = talk.ask('Replace "giraffe" with "okapi" in README.md')

    assert "so I changed nothing" in answer
    assert (talk.root / "README.md").read_text() == (CORPUS / "README.md").read_text()


# Conversations


def test_a_question_takes_its_subject_from_the_one_before(talk: Conversation) -> None:
    talk.ask("Where is a hold placed?")

    answer = talk.ask("And where is it renewed?")

    assert "renew_hold" in direct(answer)


def test_it_means_the_file_spoken_of(talk: Conversation) -> None:
    talk.ask("Summarise docs/operations.md")

    assert "`docs/operations.md` has **22 lines**" in talk.ask("How many lines does it have?")


def test_an_answer_can_be_saved_afterwards(talk: Conversation) -> None:
    talk.ask("How long are backups kept?")

    talk.ask("Save that to notes/answer.md")

    assert "**35 days**" in (talk.root / "notes/answer.md").read_text()


def test_ids_of_calls_are_unique_in_a_conversation_and_the_same_each_time(talk: Conversation) -> None:
    other = Conversation(talk.root)
    for question in ("What is a hold?", "What is a hold?"):
        talk.ask(question)
        other.ask(question)

    ids = [call["id"] for message in talk.messages for call in message.get("tool_calls", [])]
    assert len(ids) == len(set(ids))
    assert talk.messages == other.messages


def test_a_message_said_in_the_middle_is_what_counts_from_then_on(talk: Conversation) -> None:
    talk.messages.append({"role": "user", "content": "What is a hold?"})
    first = talk._step()
    talk.messages += [{"role": "tool", "tool_call_id": c.id, "content": talk._carry_out(c)} for c in first.tool_calls]

    answer = talk.ask("How many workers are there?")

    assert "**4**" in direct(answer)


# Whatever may come


@pytest.mark.parametrize("missing", FILE_TOOLS)
def test_a_tool_that_is_not_offered_is_not_called(talk: Conversation, missing: str) -> None:
    talk.offered = tuple(name for name in FILE_TOOLS if name != missing)

    for wish in (
        "What is a hold?",
        "ls",
        "show README.md",
        'write "a" to b.md',
        "replace 8420 with 1 in settings.toml",
        "find room",
    ):
        assert LABELS[0] in talk.ask(wish)


def test_without_any_tool_it_says_so(talk: Conversation) -> None:
    talk.offered = ()

    assert "so I can't look at any file" in talk.ask("What is a hold?")


def test_without_the_search_tool_the_best_named_files_are_read(talk: Conversation) -> None:
    talk.offered = ("list_files", "glob_files", "read_file")

    assert "keeps a room for somebody who is still choosing" in talk.ask("What are holds?")


@pytest.mark.parametrize(
    "reply", ["Error: the disk failed", "{", "[]", '{"matches": 7}', '{"matches": [{"path": 1}, null]}', ""]
)
@pytest.mark.parametrize(
    "wish", ["What is a hold?", "ls", "show README.md", "find room", "save a summary of a.md to b.md"]
)
def test_a_tool_that_fails_ends_in_an_answer(
    talk: Conversation, wish: str, reply: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "_carry_out", lambda call: reply, raising=False)

    answer = talk.ask(wish)

    assert LABELS[0] in answer


def test_a_search_with_a_thousand_hits_is_answered_in_time(talk: Conversation) -> None:
    for number in range(200):
        (talk.root / f"many{number}.md").write_text("a hold is mentioned here again\n" * 100)
    (talk.root / "long.md").write_text("hold " * 200_000)
    begun = time.monotonic()

    answer = talk.ask("Where is a hold renewed?")

    assert time.monotonic() - begun < 10
    assert "rooms/holds.py" in answer
    assert len(answer) < 10_000


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "system", "content": "You are an agent."}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": None}],
        [{"role": "user"}],
        [{"role": "user", "content": [{"type": "text", "text": "What is a hold?"}, {"type": "image_url"}, 3]}],
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": [{"id": 1}, None]}],
        [{"role": "user", "content": "ls"}, {"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}],
        [{"role": "tool", "content": "{}"}, {"role": "user", "content": "\ud800\ue000\x00 show \ue001"}],
    ],
)
def test_odd_messages_are_answered(messages: list[dict[str, Any]]) -> None:
    *_, answer = DemoModel(pace=0).stream(Request(SPEC, messages, [{"type": "function"}, {}]))

    assert isinstance(answer, Answer)
    assert answer.text


WORDS = [
    "show", "list", "save", "replace", "把", "README.md", "to", "in", "with", "'a", '"b"', "`c`", "总结", "有哪些", "文件", "保存到",
    "where", "how", "many", "lines", "10-20", "a/b.py", "?", "。", "\n", "\t", "![x](y)", "|", "#",
]  # fmt: skip


@settings(max_examples=150, deadline=2000)
@given(st.one_of(st.text(max_size=300), st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)))
def test_whatever_is_said_gets_an_answer_quickly(text: str) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in FILE_TOOLS]

    *_, answer = DemoModel(pace=0).stream(Request(SPEC, [{"role": "user", "content": text}], tools))

    assert isinstance(answer, Answer)
    assert answer.text


@pytest.mark.parametrize(
    "word", ["what ", "and save it to ", "the all the ", "是用来", "第1行", "a/", "'a ", "有哪些", "\n ", "关于", "`"]
)
def test_no_form_of_words_takes_long_to_understand(word: str) -> None:
    message = {"role": "user", "content": "show " + word * (30_000 // len(word)) + " x.md"}
    begun = time.monotonic()

    list(DemoModel(pace=0).stream(Request(SPEC, [message], [])))

    assert time.monotonic() - begun < 5


# The stream


def test_the_answer_streams_in_small_pieces_and_fast() -> None:
    request = Request(SPEC, [{"role": "user", "content": "你能做什么？"}], [])
    begun = time.monotonic()

    *fragments, answer = DemoModel().stream(request)

    assert time.monotonic() - begun < 3
    assert isinstance(answer, Answer)
    assert "".join(map(str, fragments)) == answer.text
    assert len(fragments) > 60
    assert max(len(str(fragment).split()) for fragment in fragments) == 1


def test_usage_is_estimated_and_free(talk: Conversation) -> None:
    talk.ask("What is a hold?")

    first, *_, last = talk.answers
    assert (last.model, last.usage.cost) == ("demo", Decimal(0))
    assert last.usage.prompt_tokens > first.usage.prompt_tokens > 100
    assert last.usage.completion_tokens >= len(last.text) // 5


def test_arguments_are_sent_as_they_are_recorded(talk: Conversation) -> None:
    talk.ask("谁可以删除房间？")

    assert all(json.loads(call.raw) == call.arguments for call in talk.calls)
