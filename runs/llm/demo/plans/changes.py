"""The plans that write: save something to a file, replace a text in one."""

from __future__ import annotations

import re

from runs.llm.demo.calls import Asking, Batch, Call, Plan, Reply, Report, Toolbox, alongside
from runs.llm.demo.plans.chores import list_files, outline, overview, summarise
from runs.llm.demo.plans.opening import listed, open_file, reading_of, spelled_out
from runs.llm.demo.plans.research import research
from runs.llm.demo.text.quotes import fenced, quoted
from runs.llm.demo.wishes import Ask, LastAnswer, ListFiles, Literal, Outline, Overview, Replace, Save, Summarise
from runs.llm.demo.words.phrases import Voice, code

MOST_SHOWN_LINES = 20
MOST_CHANGED_LINES = 10


def save(wish: Save, tools: Toolbox, voice: Voice, *, earlier_answer: str) -> Plan:
    """Collect what is to be written, look at what the file holds now, write."""
    if not tools.offers("write_file"):
        return Report(voice.say("tool_missing", tool="write_file"))
    look = tools.call("glob_files", pattern=spelled_out(wish.path)) or tools.call("read_file", path=wish.path)
    beside = Batch(voice.say("say_look", path=code(wish.path)), tuple(look))
    content, present = yield from alongside(_content(wish, tools, voice, earlier_answer), beside)
    if not content:
        return Report(voice.say("no_answer_yet" if isinstance(wish.what, LastAnswer) else "nothing_to_save"))
    present = yield from _read_present(wish.path, present, tools, voice)
    content = content.rstrip("\n") + "\n"
    whole = _appended(content, present) if wish.append else content
    if whole is None:
        return Report(voice.say("part_only", path=wish.path))
    calls = tools.call("write_file", path=wish.path, content=whole)
    [reply] = yield Batch(voice.say("say_write", path=code(wish.path)), tuple(calls))
    if reply.error:
        return Report(voice.say("not_written", path=wish.path, error=reply.error))
    return Report(_written(wish, content, voice))


def _read_present(path: str, found: list[Reply], tools: Toolbox, voice: Voice) -> Asking[list[Reply]]:
    """What a file that is there holds: it must have been read before it may be written."""
    read = tools.call("read_file", path=path)
    if not found or path not in listed(found[0]) or not read:
        return found
    return (yield Batch(voice.say("say_open", path=code(path)), tuple(read)))


def _appended(content: str, present: list[Reply]) -> str | None:
    """The file's text and the new one after it; None when the file can't be read whole."""
    before = present[0] if present else Reply()
    if before.error or not before.text("content"):
        return content
    reading = reading_of(before)
    if not reading or before.truncated or reading.end < reading.total:
        return None
    return f"{before.text('content').rstrip()}\n{content}"


def _written(wish: Save, content: str, voice: Voice) -> str:
    lines = tuple(content.splitlines())
    done = voice.say("appended" if wish.append else "wrote", path=wish.path, lines=voice.lines(len(lines)))
    shown = quoted(wish.path, lines[:MOST_SHOWN_LINES])
    more = len(lines) - MOST_SHOWN_LINES
    rest = f"\n\n{voice.say('more_lines', lines=voice.lines(more))}" if more > 0 else ""
    return f"{done}\n\n{shown}{rest}"


def _content(wish: Save, tools: Toolbox, voice: Voice, earlier_answer: str) -> Asking[str]:
    match wish.what:
        case Literal(text):
            return text
        case LastAnswer():
            return earlier_answer
        case Summarise() as what:
            report = yield from summarise(what, tools, voice)
        case Outline() as what:
            report = yield from outline(what, tools, voice)
        case ListFiles() as what:
            report = yield from list_files(what, tools, voice)
        case Overview() as what:
            report = yield from overview(what, tools, voice)
        case Ask() as what:
            report = yield from research(what, tools, voice)
    return f"{report.body}\n\n{voice.say('made_by')}"


def replace_text(wish: Replace, tools: Toolbox, voice: Voice) -> Plan:
    if wish.old == wish.new:
        return Report(voice.say("same_text"))
    reading, reply = yield from open_file(wish.path, tools=tools, voice=voice)
    if reply.truncated or reading.end < reading.total:
        return Report(voice.say("part_only", path=reading.path))
    content = reply.text("content")
    place = _places(wish.old, content)
    count = len(place.findall(content))
    if not count:
        return Report(voice.say("old_absent", old=wish.old, path=reading.path))
    calls = _edit(wish, reading.path, content, place, tools)
    if not calls:
        return Report(voice.say("tool_missing", tool="edit_file"))
    [done] = yield Batch(voice.say("say_edit", path=code(reading.path)), tuple(calls))
    if done.error:
        return Report(voice.say("not_written", path=reading.path, error=done.error))
    places = voice.count(count, one="one_place", many="many_places")
    head = voice.say("replaced", old=wish.old, new=wish.new, path=reading.path, count=places)
    return Report("\n\n".join(filter(None, [head, _diff(wish, content, place)])))


def _places(old: str, content: str) -> re.Pattern[str]:
    """Where to replace: whole words if the text stands as such anywhere, so that "lease" leaves "release" alone."""
    before, after = (r"(?<!\w)" if old[:1].isalnum() else ""), (r"(?!\w)" if old[-1:].isalnum() else "")
    whole = re.compile(f"{before}{re.escape(old)}{after}", re.ASCII)
    return whole if whole.search(content) else re.compile(re.escape(old))


def _edit(wish: Replace, path: str, content: str, place: re.Pattern[str], tools: Toolbox) -> list[Call]:
    """One edit where the tool would change the same places, else the whole file anew."""
    count, everywhere = len(place.findall(content)), content.count(wish.old)
    if count == everywhere == 1 or (count == everywhere and tools.takes("edit_file", "replace_all")):
        every = {"replace_all": True} if count > 1 else {}
        return tools.call("edit_file", path=path, old_text=wish.old, new_text=wish.new, **every)
    return tools.call("write_file", path=path, content=place.sub(lambda _: wish.new, content))


def _diff(wish: Replace, content: str, place: re.Pattern[str]) -> str:
    """The first changed lines, before and after."""
    if "\n" in wish.old or "\n" in wish.new:
        return ""
    lines = [line for line in content.splitlines() if place.search(line)][:MOST_CHANGED_LINES]
    diff = [changed for line in lines for changed in (f"- {line}", f"+ {place.sub(lambda _: wish.new, line)}")]
    return fenced(tuple(diff), "diff")
