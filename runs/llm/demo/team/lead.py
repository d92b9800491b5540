"""The part of the lead: it weighs what the others came to, sends work back once where nothing supports it, and decides."""

from __future__ import annotations

from typing import Any

from runs.llm.demo.calls import Asking, Batch, Plan, Reply, Report, Toolbox
from runs.llm.demo.team.citations import all_citations, citations, gist
from runs.llm.demo.team.seat import Seat
from runs.llm.demo.wishes import Ask, Wish
from runs.llm.demo.words.phrases import Voice

MOST_EVIDENCE = 10


def lead(own: Plan | Report, wish: Wish, seat: Seat, tools: Toolbox, voice: Voice) -> Plan:
    """Decide on what the others found. A lead whose team found nothing, and can't look again, looks itself."""
    if isinstance(own, Report):
        return own
    if seat.of_others and not isinstance(wish, Ask):
        return (yield from _sum_up(seat, tools, voice))
    found = all_citations(one.text for one in seat.of_others)
    if not found and _may_ask(seat, tools):
        return (yield from _send_back(seat, tools, voice))
    if not found:
        report = yield from own
        found = citations(report.body)
        if not found:
            yield from _decide(voice.say("team_undecided"), voice.say("team_no_evidence"), [], tools, voice)
            return Report(f"{voice.say('team_undecided')}\n\n{report.body}", report.note)
    entries = yield from _entries([one.text for one in found], tools, voice)
    decision = " ".join(str(one) for one in found[:2])
    rationale = _because(seat, len(entries) or len(found), voice)
    yield from _decide(decision, rationale, entries, tools, voice)
    return Report(f"{decision}\n\n{rationale}")


def _sum_up(seat: Seat, tools: Toolbox, voice: Voice) -> Plan:
    """What was to be done was done by the first: its word is the team's."""
    done = seat.of_others[0].text
    entries = yield from _entries([gist(done)], tools, voice)
    rationale = _because(seat, len(entries), voice)
    yield from _decide(gist(done), rationale, entries, tools, voice)
    return Report(f"{done}\n\n{rationale}")


def _because(seat: Seat, number: int, voice: Voice) -> str:
    names = [one.name for one in seat.of_others] or [seat.name]
    return voice.say(
        "team_rationale",
        names=voice.comma.join(names),
        evidence=voice.count(number, one="team_one_piece", many="team_pieces"),
    )


def _may_ask(seat: Seat, tools: Toolbox) -> bool:
    return seat.may_send_back and not seat.has_worked and bool(seat.colleagues) and tools.offers("ask_member")


def _send_back(seat: Seat, tools: Toolbox, voice: Voice) -> Plan:
    worked = [one.name for one in seat.of_others if one.name in seat.colleagues]
    to = (worked or list(seat.colleagues))[0]
    yield Batch(voice.say("team_say_ask", name=to), tuple(tools.call("ask_member", to=to, text=voice.say("team_ask"))))
    return Report(voice.say("team_sent_back", name=to))


def _entries(texts: list[str], tools: Toolbox, voice: Voice) -> Asking[list[str]]:
    """Return the ids of the board's entries that say what was found in this run."""
    calls = tools.call("read_board", kinds=["evidence"])
    replies: list[Reply] = (yield Batch(voice.say("team_say_board"), tuple(calls))) if calls else []
    told = [hit for reply in replies for hit in reply.items("results") if isinstance(hit, dict)]
    fitting = [hit for text in texts for hit in told if text in str(hit.get("text", ""))]
    now = next((_run_of(hit) for hit in told if hit in fitting and not hit.get("pinned")), None)
    ids = [str(hit.get("entry_id")) for hit in fitting if _run_of(hit) == now]
    return list(dict.fromkeys(ids))[:MOST_EVIDENCE]


def _run_of(hit: dict[str, Any]) -> Any:
    """The run that an entry comes from: the newest of those that fit is the one under way."""
    source = hit.get("source")
    return source.get("run_id") if isinstance(source, dict) else None


def _decide(decision: str, rationale: str, entries: list[str], tools: Toolbox, voice: Voice) -> Asking[None]:
    calls = tools.call(
        "decide",
        decision=decision,
        rationale=rationale,
        evidence=entries,
        next_actions=[] if entries else [voice.say("team_next")],
    )
    if calls:
        yield Batch(voice.say("team_say_decide"), tuple(calls))
