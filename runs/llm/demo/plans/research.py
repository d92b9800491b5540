"""The plan for a question: search the files and the memory, read the best passages, answer out of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations

from runs.llm.demo.calls import Asking, Batch, Call, Plan, Reply, Report, Toolbox
from runs.llm.demo.plans.answers import answer, search_note
from runs.llm.demo.plans.opening import UnreadableError, listed, open_file, reading_of
from runs.llm.demo.plans.recollection import asking_memory, memories_of
from runs.llm.demo.plans.summaries import said_first
from runs.llm.demo.ranking.findings import best_findings
from runs.llm.demo.ranking.weights import Weights, weigh
from runs.llm.demo.ranking.windows import Hit, Window, best_windows
from runs.llm.demo.text.reading import Reading, is_prose
from runs.llm.demo.text.source import DEFINITION
from runs.llm.demo.wishes import Ask
from runs.llm.demo.words.phrases import Voice, code
from runs.llm.demo.words.terms import Term, language_of, strong

MOST_SEARCHES = 6
RESULTS_WANTED = 90  # about as many lines as one result holds
LONGEST_PATTERN = 900
POOR = 0.6  # a best passage that covers less of the question than this asks for another search
LISTED_WHEN_NOTHING = 12
MOST_LONE_LINES = 60
MOST_FILES_UNSEARCHED = 4

# Lines read before and after a window, so that a whole section or function is in it.
NEAR_THE_TOP = 100
MARGIN = {True: (20, 30), False: (45, 45)}  # of prose; of code


@dataclass
class Evidence:
    """What the searches of one question have brought so far."""

    hits: list[Hit] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    searched: int = 0
    cut: bool = False
    errors: list[str] = field(default_factory=list)
    memories: list[Reading] = field(default_factory=list)
    attached: tuple[Reading, ...] = ()

    @property
    def besides(self) -> list[Reading]:
        """What was read without a search in files."""
        return [*self.attached, *self.memories]

    def take(self, reply: Reply, label: str = "") -> None:
        """Add one search's matches; under a label they count as that term's."""
        if reply.error:
            self.errors.append(reply.error)
            return
        found = [hit for match in reply.items("matches") if (hit := _hit(match))]
        self.hits += found
        self.searched = max(self.searched, reply.number("files_searched", 0))
        self.cut |= reply.truncated
        if label:
            self.totals[label] = max(reply.number("total", len(found)), len(found))


def research(ask: Ask, tools: Toolbox, voice: Voice, attached: tuple[Reading, ...] = ()) -> Plan:
    if not tools.offers("grep_files"):
        return (yield from _read_without_search(ask, tools, voice, attached))
    evidence = Evidence(attached=attached)
    yield from _search(ask, tools, voice, evidence)
    windows = _windows(ask, evidence)
    if not windows or windows[0].covered < POOR:
        yield from _search_kin(ask, tools, voice, evidence)
        windows = _windows(ask, evidence)
    readings = yield from _read(windows, tools, voice)
    readings = [*(readings or _readings_of_hits(evidence, windows)), *evidence.besides]
    findings = best_findings(readings, weights=_weights(ask, evidence), kind=ask.kind)
    if not findings:
        return (yield from _named(ask, tools, voice)) or _nothing(ask, evidence, voice)
    return answer(ask, findings=findings, readings=readings, note=_note(ask, evidence, voice), voice=voice)


def _named(ask: Ask, tools: Toolbox, voice: Voice) -> Asking[Report | None]:
    """Say what the file that a question names holds, where nothing in it meets the question's words; None without one."""
    for path in ask.files:
        try:
            reading, _ = yield from open_file(path, tools=tools, voice=voice)
        except UnreadableError:
            continue
        if points := said_first(reading):
            head = voice.say("named_file", path=code(reading.path))
            return Report("\n\n".join([head, *points]), voice.say("extracted"))
    return None


def _search(ask: Ask, tools: Toolbox, voice: Voice, evidence: Evidence) -> Asking[None]:
    """One search per term, one for terms that meet on a line, one for headings and definitions."""
    terms = _searched(ask)
    patterns = [(term.label, term.forms) for term in terms]
    patterns += [("", pattern) for pattern in _joint_patterns(terms)]
    calls = [call for _, pattern in patterns for call in _grep(tools, pattern)]
    listing = tools.call("glob_files", pattern="**/*") or tools.call("list_files", path=".")
    memory = asking_memory(ask, tools)
    saying = voice.say("say_search_both" if memory else "say_search", terms=voice.names([t.label for t in terms]))
    replies = yield Batch(saying, (*calls, *listing, *memory))
    for (label, _), reply in zip(patterns, replies, strict=False):
        evidence.take(reply, label)
    found = replies[len(calls) :]
    evidence.files = [path for reply in found[: len(listing)] for path in listed(reply)]
    evidence.memories = [reading for reply in found[len(listing) :] for reading in memories_of(reply)]


def _search_kin(ask: Ask, tools: Toolbox, voice: Voice, evidence: Evidence) -> Asking[None]:
    """Search for the relatives of the terms that were found least."""
    rarest = sorted(strong(list(ask.terms)) or list(ask.terms), key=lambda term: evidence.totals.get(term.label, 0))
    calls = [call for term in rarest if term.kin for call in _grep(tools, term.kin)][:3]
    if calls:
        for reply in (yield Batch(voice.say("say_refine"), tuple(calls))):
            evidence.take(reply)


def _searched(ask: Ask) -> list[Term]:
    """The heaviest terms, in the question's order."""
    heaviest = sorted(ask.terms, key=lambda term: -term.weight)[:MOST_SEARCHES]
    return [term for term in ask.terms if term in heaviest]


def _joint_patterns(terms: list[Term]) -> list[str]:
    """Lines on which two terms meet, neighbours in the question first; headings and definitions with one."""
    solid = (strong(terms) or terms)[:4]
    near = sorted(permutations(range(len(solid)), 2), key=lambda pair: (abs(pair[0] - pair[1]), pair))
    meeting = _either([f"({solid[a].forms}).*({solid[b].forms})" for a, b in near])
    naming = _either([term.forms for term in solid])
    headed = f"(^#{{1,6}}\\s|{DEFINITION}).*({naming})"
    return [pattern for pattern in (meeting, headed if naming else "") if pattern]


def _either(patterns: list[str]) -> str:
    """As many of the patterns as one search takes, as alternatives."""
    joined = ""
    for pattern in patterns:
        longer = f"{joined}|{pattern}" if joined else pattern
        joined = longer if len(longer) <= LONGEST_PATTERN - len(DEFINITION) - 40 else joined
    return joined


def _grep(tools: Toolbox, pattern: str) -> list[Call]:
    # Plain groups: with any other the search tool has to try line by line.
    return tools.call("grep_files", pattern=pattern.replace("(?:", "("), max_results=RESULTS_WANTED)


def _weights(ask: Ask, evidence: Evidence) -> Weights:
    return weigh(
        list(ask.terms),
        totals=evidence.totals,
        searched=evidence.searched,
        files=ask.files,
        language=language_of(ask.text),
    )


def _windows(ask: Ask, evidence: Evidence) -> list[Window]:
    return best_windows(evidence.hits, files=evidence.files, weights=_weights(ask, evidence), kind=ask.kind)


def _read(windows: list[Window], tools: Toolbox, voice: Voice) -> Asking[list[Reading]]:
    calls = [call for window in windows for call in _read_call(window, tools)]
    if not calls:
        return []
    paths = list(dict.fromkeys(window.path for window in windows))
    replies = yield Batch(voice.say("say_read", paths=voice.names(paths)), tuple(calls))
    return [reading for reply in replies if (reading := reading_of(reply))]


def _read_call(window: Window, tools: Toolbox) -> list[Call]:
    before, after = MARGIN[is_prose(window.path)]
    # From the top where it isn't far: headings, definitions and open fences are known then.
    start = max(1, window.start - before) if window.start > NEAR_THE_TOP else 1
    return tools.call("read_file", path=window.path, start_line=start, end_line=window.end + after)


def _readings_of_hits(evidence: Evidence, windows: list[Window]) -> list[Reading]:
    """Where no file can be read, the matched lines themselves are what there is to quote."""
    paths = {window.path for window in windows}
    unique = {(hit.path, hit.line): hit for hit in evidence.hits if hit.path in paths}
    return [Reading(hit.path, (hit.text,), hit.line, hit.line) for hit in list(unique.values())[:MOST_LONE_LINES]]


def _read_without_search(ask: Ask, tools: Toolbox, voice: Voice, attached: tuple[Reading, ...]) -> Plan:
    """With no search tool: the files whose names fit, else the first prose there is."""
    memory = asking_memory(ask, tools)
    listing = tools.call("glob_files", pattern="**/*") or tools.call("list_files", path=".")
    if not tools.offers("read_file"):
        listing = []
    if not listing and not memory and not attached:
        return Report(voice.say("no_tools", tools=voice.names(["grep_files", "read_file", "glob_files"])))
    calls = (*listing, *memory)
    replies = (yield Batch(voice.say("say_list" if listing else "say_recall"), calls)) if calls else []
    files = [path for reply in replies[: len(listing)] for path in listed(reply)]
    evidence = Evidence(files=files, attached=attached)
    evidence.memories = [reading for reply in replies[len(listing) :] for reading in memories_of(reply)]
    windows = (
        _windows(ask, evidence)
        or [Window(path, 1, 1, 1.0, 0.0) for path in evidence.files if is_prose(path)][:MOST_FILES_UNSEARCHED]
    )
    readings = [*(yield from _read(windows, tools, voice)), *evidence.besides]
    findings = best_findings(readings, weights=_weights(ask, evidence), kind=ask.kind)
    if not findings:
        return _nothing(ask, evidence, voice)
    return answer(ask, findings=findings, readings=readings, note=_note(ask, evidence, voice), voice=voice)


def _note(ask: Ask, evidence: Evidence, voice: Voice) -> str:
    searched = _searched(ask)
    told = "\n".join(line for reading in evidence.besides for line in reading.lines)
    missing = [term for term in strong(searched) if evidence.totals.get(term.label) == 0 and not any(term.find(told))]
    return search_note(terms=searched, missing=missing, searched=evidence.searched, cut=evidence.cut, voice=voice)


def _nothing(ask: Ask, evidence: Evidence, voice: Voice) -> Report:
    if evidence.errors and not evidence.searched:
        return Report(voice.say("search_failed", error=evidence.errors[0]))
    if not evidence.files and not evidence.searched:
        return Report(voice.say("no_files"))
    lines = [voice.say("nothing", terms=voice.names([term.label for term in _searched(ask)]))]
    if evidence.files:
        shown = "\n".join(f"- {code(path)}" for path in evidence.files[:LISTED_WHEN_NOTHING])
        more = len(evidence.files) - LISTED_WHEN_NOTHING
        lines += [voice.say("there_is"), shown + (f"\n- {voice.say('more', count=more)}" if more > 0 else "")]
    return Report("\n\n".join([*lines, voice.say("add_files")]))


def _hit(match: object) -> Hit | None:
    """One match of a search, None where it hasn't the promised shape."""
    if not isinstance(match, dict):
        return None
    path, line, text = match.get("path"), match.get("line"), match.get("text")
    if isinstance(path, str) and isinstance(line, int) and isinstance(text, str):
        return Hit(path, line, text)
    return None
