"""The plans for plain wishes: list, show, count, summarise, find."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import PurePosixPath

from runs.llm.demo.calls import Batch, Plan, Reply, Report, Toolbox
from runs.llm.demo.plans.opening import listed, open_file, reading_of
from runs.llm.demo.plans.research import research
from runs.llm.demo.plans.summaries import first_words, outline_of, summary
from runs.llm.demo.text.quotes import fenced, quoted
from runs.llm.demo.text.reading import is_code, is_prose, is_test
from runs.llm.demo.wishes import Ask, CountLines, ListFiles, Outline, Overview, Search, ShowFile, Summarise
from runs.llm.demo.wishes.asking import kind_of
from runs.llm.demo.words.phrases import Voice, code
from runs.llm.demo.words.terms import language_of, terms_of

MOST_LISTED = 60
MOST_IN_OVERVIEW = 14
MOST_READ_FOR_OVERVIEW = 6
INTRODUCTIONS = (("readme",), ("index", "about", "overview", "introduction", "welcome", "architecture", "design"))
LEGAL = ("license", "licence", "copying", "notice", "authors")
MOST_SHOWN_LINES = 200
MOST_OUTLINED = 80
MOST_FILES_FOUND = 8
MOST_LINES_OF_A_FILE = 5
LONGEST_FOUND = 200
RESULTS_WANTED = 200


def list_files(wish: ListFiles, tools: Toolbox, voice: Voice) -> Plan:
    pattern = wish.pattern or "**/*"
    glob = tools.call("glob_files", pattern=pattern, cwd=wish.folder)
    calls = [*tools.call("list_files", path=wish.folder), *glob]
    if not calls:
        return Report(voice.say("no_tools", tools=voice.names(["list_files", "glob_files"])))
    replies = yield Batch(voice.say("say_list"), tuple(calls))
    if all(reply.error for reply in replies):
        return Report(voice.say("no_such_file", path=wish.folder, error=replies[0].error))
    sizes = _sizes(replies[0])
    paths = sorted({path for reply in (replies[-1:] if glob else replies) for path in listed(reply)})
    return _listing(paths, sizes=sizes, wish=wish, more=replies[-1].truncated, voice=voice)


def _listing(
    paths: list[str], *, sizes: dict[str, int], wish: ListFiles, more: bool, voice: Voice, most: int = MOST_LISTED
) -> Report:
    if not paths and wish.folder == "." and not wish.pattern:
        return Report(voice.say("no_files"))
    where = voice.say("listing_in", folder=wish.folder) if wish.folder != "." else ""
    count = voice.files(len(paths))
    head = voice.say(
        "listing_one" if len(paths) == 1 else "listing",
        files=voice.say("at_least", count=count) if more else count,
        where=where,
    )
    if wish.counting:
        head = f"**{head}**"
    rows = [f"- {code(path)}{_size(sizes.get(path))}" for path in paths]
    if len(rows) > most:
        rows = _by_folder(paths, voice, most=most)
    return Report(head + "\n\n" + "\n".join(rows), voice.say("more_than_listed") if more else "")


def _by_folder(paths: list[str], voice: Voice, *, most: int) -> list[str]:
    """Folders with the number of files in each, as deep as `most` rows allow; files outside of any by name."""
    rows: list[str] = []
    for depth in (1, 2, 3):
        counts = Counter("/".join(path.split("/")[:-1][:depth]) for path in paths)
        loose = counts.pop("", 0)
        if rows and len(counts) + loose > most:
            break
        rows = [f"- {code(path)}" for path in paths if "/" not in path]
        rows += [f"- {code(folder + '/')} · {voice.files(count)}" for folder, count in sorted(counts.items())]
    return rows if len(rows) <= most else [*rows[:most], f"- {voice.say('more', count=len(rows) - most)}"]


def _sizes(reply: Reply) -> dict[str, int]:
    entries = [entry for entry in reply.items("entries") if isinstance(entry, dict)]
    return {
        str(e.get("name")): e["size"] for e in entries if e.get("type") == "file" and isinstance(e.get("size"), int)
    }


def _size(number: int | None) -> str:
    if number is None:
        return ""
    return f" · {number:,} B" if number < 10_000 else f" · {number / 1000:,.0f} kB"


def show_file(wish: ShowFile, tools: Toolbox, voice: Voice) -> Plan:
    end = min(wish.end or MOST_SHOWN_LINES, wish.start + MOST_SHOWN_LINES - 1)
    reading, _ = yield from open_file(wish.path, tools=tools, voice=voice, start=wish.start, end=end)
    if not reading.lines:
        key = "past_end" if reading.total else "empty_file"
        return Report(voice.say(key, path=reading.path, total=reading.total))
    head = voice.say("shown", path=reading.path, start=reading.start, end=reading.end, total=reading.total)
    rest = ""
    if reading.end < reading.total and not wish.end:
        following = min(reading.end + MOST_SHOWN_LINES, reading.total)
        rest = voice.say("show_rest", start=reading.end + 1, end=following, path=reading.path)
    return Report(f"{head}\n\n{quoted(reading.path, reading.lines)}", rest)


def count_lines(wish: CountLines, tools: Toolbox, voice: Voice) -> Plan:
    reading, reply = yield from open_file(wish.path, tools=tools, voice=voice)
    if reply.truncated or len(reading.lines) < reading.total:
        return Report(voice.say("lines_only", path=reading.path, lines=f"{reading.total:,}"))
    content = reply.text("content")
    words = len(re.findall(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+", content))
    return Report(
        voice.say(
            "lines_count",
            path=reading.path,
            lines=f"{reading.total:,}",
            words=f"{words:,}",
            characters=f"{len(content):,}",
        )
    )


def summarise(wish: Summarise, tools: Toolbox, voice: Voice) -> Plan:
    bodies, note = [], ""
    for path in (wish.path, *wish.also):
        reading, _ = yield from open_file(path, tools=tools, voice=voice)
        told = summary(reading, voice)
        bodies.append(told.body)
        note = note or told.note
    return Report("\n\n".join(bodies), note)


def outline(wish: Outline, tools: Toolbox, voice: Voice) -> Plan:
    reading, _ = yield from open_file(wish.path, tools=tools, voice=voice)
    entries = outline_of(reading)
    if not entries:
        return Report(voice.say("no_outline", path=reading.path))
    return Report(voice.say("outline", path=reading.path) + "\n\n" + "\n".join(entries[:MOST_OUTLINED]))


def overview(wish: Overview, tools: Toolbox, voice: Voice) -> Plan:
    """What the README says, or else the first prose there is; then a sentence of each of a few other files."""
    calls = tools.call("glob_files", pattern="**/*") or tools.call("list_files", path=".")
    if not calls or not tools.offers("read_file"):
        return Report(voice.say("no_tools", tools=voice.names(["glob_files", "read_file"])))
    [listing] = yield Batch(voice.say("say_list"), tuple(calls))
    paths = listed(listing)
    chosen = sorted(filter(_tells, paths), key=lambda path: _introduces(path, language=voice.language))[
        :MOST_READ_FOR_OVERVIEW
    ]
    files = _listing(paths, sizes={}, wish=ListFiles(), more=listing.truncated, voice=voice, most=MOST_IN_OVERVIEW)
    if not chosen:
        return files
    reads = [call for path in chosen for call in tools.call("read_file", path=path)]
    replies = yield Batch(voice.say("say_read", paths=voice.names(chosen)), tuple(reads))
    readings = [reading for reply in replies if (reading := reading_of(reply))]
    if not readings:
        return files
    told = summary(readings[0], voice)
    others = [f"- {code(r.path)} — {says}" for r in readings[1:] if (says := first_words(r))]
    also = f"{voice.say('others')}\n\n" + "\n".join(others) if others else ""
    return Report("\n\n".join(filter(None, [told.body, also, files.body])), told.note)


def _tells(path: str) -> bool:
    if PurePosixPath(path).stem.lower() in LEGAL:
        return False
    return is_prose(path) or (is_code(path) and not is_test(path))


def _introduces(path: str, *, language: str) -> tuple[int, int, bool, bool, str]:
    """Sorts the file that most likely says what all the others are for to the front."""
    name, *marks = PurePosixPath(path).name.lower().split(".")
    known = next((rank for rank, names in enumerate(INTRODUCTIONS) if name in names), len(INTRODUCTIONS))
    foreign = any(mark.startswith("zh") for mark in marks) != (language == "zh")
    return (known, path.count("/"), foreign, not is_prose(path), path)


def search(wish: Search, tools: Toolbox, voice: Voice) -> Plan:
    calls = tools.call("grep_files", pattern=wish.phrase, fixed=True, max_results=RESULTS_WANTED)
    if not calls:
        return Report(voice.say("tool_missing", tool="grep_files"))
    [reply] = yield Batch(voice.say("say_search", terms=code(wish.phrase)), tuple(calls))
    if reply.error:
        return Report(voice.say("search_failed", error=reply.error))
    if reply.items("matches"):
        return _found(wish, reply, voice)
    terms = tuple(terms_of(wish.phrase))
    if not wish.counting and (len(terms) > 1 or language_of(wish.phrase) == "zh"):
        return (yield from research(Ask(wish.phrase, kind_of(wish.phrase), terms), tools, voice))
    searched = reply.number("files_searched", 0)
    if searched:
        return Report(voice.say("not_found", phrase=wish.phrase, files=voice.files(searched)))
    return Report(voice.say("not_found_plain", phrase=wish.phrase))


def _found(wish: Search, reply: Reply, voice: Voice) -> Report:
    by_file: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for match in reply.items("matches"):
        if isinstance(match, dict):
            by_file[str(match.get("path"))].append((match.get("line", 0), str(match.get("text", ""))))
    total = max(reply.number("total", 0), sum(map(len, by_file.values())))
    files = max(reply.number("files_with_matches", 0), len(by_file))
    head = voice.say("found", phrase=wish.phrase, lines=voice.lines(total), files=voice.files(files))
    fullest = sorted(by_file.items(), key=lambda item: (-len(item[1]), item[0]))
    parts = [_lines_found(path, lines, voice) for path, lines in fullest[:MOST_FILES_FOUND]]
    if len(fullest) > MOST_FILES_FOUND:
        parts.append(voice.say("more_files", files=voice.files(files - MOST_FILES_FOUND)))
    return Report("\n\n".join([head, *parts]), voice.say("cut_search") if reply.truncated else "")


def _lines_found(path: str, lines: list[tuple[int, str]], voice: Voice) -> str:
    shown = lines[:MOST_LINES_OF_A_FILE]
    width = len(str(shown[-1][0]))
    body = fenced(tuple(f"{number:>{width}}  {text.strip()[:LONGEST_FOUND]}" for number, text in shown), "")
    more = f" · {voice.say('more', count=len(lines) - len(shown))}" if len(lines) > len(shown) else ""
    return f"{code(path)}{more}\n\n{body}"
