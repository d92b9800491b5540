"""The part of a member: it finds what the task asks for, or checks what others found, and posts it for the lead."""

from __future__ import annotations

from runs.llm.demo.calls import Asking, Batch, Call, Plan, Reply, Report, Toolbox
from runs.llm.demo.plans.opening import reading_of
from runs.llm.demo.team.citations import Citation, all_citations, citations, gist
from runs.llm.demo.team.seat import Seat
from runs.llm.demo.wishes import Ask, Wish
from runs.llm.demo.words.phrases import Voice

SURE = 0.9
_AROUND = 2  # lines to either side in which a sentence may go on


def contribute(own: Plan | Report, wish: Wish, seat: Seat, tools: Toolbox, voice: Voice) -> Plan:
    """Carry out the task and post what came of it; where others did so before, hold what they say against its sources.

    What isn't a question is done once, by the first. Small talk needs no team.
    """
    if isinstance(own, Report):
        return own
    if not isinstance(wish, Ask):
        return (yield from _do_once(own, seat, tools, voice))
    before = all_citations(one.text for one in seat.of_others)
    if before and not seat.asked:
        return (yield from _check(before, tools, voice))
    report = yield from own
    found = citations(report.body)
    if not found:
        yield from _post(tools.call("post_status", text=voice.say("team_nothing"), progress=1), voice)
        return Report(f"{voice.say('team_nothing')}\n\n{report.body}", report.note)
    yield from _post([*_evidence(found, tools), *_proposal(found[0], tools, voice)], voice)
    return Report("\n\n".join([voice.say("team_found"), *map(_item, found)]), report.note)


def _do_once(own: Plan, seat: Seat, tools: Toolbox, voice: Voice) -> Plan:
    if seat.of_others:
        yield from _post(tools.call("post_status", text=voice.say("team_done_already"), progress=1), voice)
        return Report(voice.say("team_done_already"))
    report = yield from own
    yield from _post(tools.call("post_evidence", text=gist(report.body), confidence=SURE), voice)
    return report


def _check(before: list[Citation], tools: Toolbox, voice: Voice) -> Plan:
    """Read the places that the others name, and say which of their sentences stand there."""
    asked = [call for one in before for call in _open(one, tools)]
    replies: list[Reply] = (yield Batch(voice.say("team_say_check"), tuple(asked))) if asked else []
    told = dict(zip((call.key for call in asked), replies, strict=False))
    stands = [one for one in before if any(_stands(one, told.get(call.key)) for call in _open(one, tools))]
    doubtful = [one for one in before if one not in stands]
    calls = [*_evidence(stands, tools), *_proposal((stands or doubtful)[0], tools, voice)]
    if doubtful:
        sources = voice.names([one.source for one in doubtful])
        calls += tools.call("post_status", text=voice.say("team_doubtful", sources=sources))
    yield from _post(calls, voice)
    parts = [voice.say("team_checked"), *map(_item, stands)] if stands else []
    parts += [voice.say("team_not_confirmed"), *map(_item, doubtful)] if doubtful else []
    return Report("\n\n".join(parts))


def _open(one: Citation, tools: Toolbox) -> list[Call]:
    if one.lines is None:
        return tools.call("memory_get", id=one.source.split()[-1])
    path, start, end = one.lines
    return tools.call("read_file", path=path, start_line=max(1, start - _AROUND), end_line=end + _AROUND)


def _stands(one: Citation, reply: Reply | None) -> bool:
    """Whether what was opened says the sentence: its marks aside, for they are the quotation's own."""
    if reply is None or reply.error:
        return False
    reading = reading_of(reply)
    text = " ".join(reading.lines) if reading else reply.text("text")
    return _letters(one.text.removesuffix("…"))[:60] in _letters(text)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _evidence(found: list[Citation], tools: Toolbox) -> list[Call]:
    return [
        call for one in found for call in tools.call("post_evidence", text=one.text, source=one.source, confidence=SURE)
    ]


def _proposal(best: Citation, tools: Toolbox, voice: Voice) -> list[Call]:
    return tools.call("post_proposal", text=voice.say("team_propose", text=str(best)), title=voice.say("team_title"))


def _post(calls: list[Call], voice: Voice) -> Asking[list[Reply]]:
    """Say it to the team; what isn't offered isn't said."""
    return (yield Batch(voice.say("team_say_post"), tuple(calls))) if calls else []


def _item(one: Citation) -> str:
    return f"- {one}"
