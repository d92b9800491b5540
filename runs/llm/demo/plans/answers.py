"""Answer a question out of findings: first what says it best, then the passages it stands in."""

from __future__ import annotations

from runs.llm.demo.calls import Report
from runs.llm.demo.ranking.findings import Finding
from runs.llm.demo.ranking.numbers import asked_number
from runs.llm.demo.ranking.quoting import choose_quotes, with_example
from runs.llm.demo.text.quotes import Quote, plain, render, shortened, source_of
from runs.llm.demo.text.reading import Reading, is_memory
from runs.llm.demo.wishes import Ask, Kind
from runs.llm.demo.words.phrases import Voice, code
from runs.llm.demo.words.terms import Term

# Below this share of what was asked, an answer is offered as the closest passage, not as the answer.
ENOUGH_COVERED = 0.5
MOST_SENTENCES = 3
MOST_CHARACTERS = 480


def answer(ask: Ask, *, findings: list[Finding], readings: list[Reading], note: str, voice: Voice) -> Report:
    """`findings` best first and not empty."""
    example = _example(findings[0], readings)
    body = [_direct(ask, findings[:1] if example else findings, voice), *example]
    if findings[0].covered < ENOUGH_COVERED:
        body.insert(0, voice.say("closest"))
    quotes = choose_quotes(findings, readings)
    body.append(voice.say(_heading({is_memory(quote.path) for quote in quotes})))
    body += [render(quote) for quote in quotes]
    return Report("\n\n".join(body), note)


def _heading(are_memories: set[bool]) -> str:
    if are_memories == {True}:
        return "quotes_of_memory"
    return "quotes_of_both" if True in are_memories else "quotes"


def _direct(ask: Ask, findings: list[Finding], voice: Voice) -> str:
    best = findings[0]
    number = _number(ask, best)
    if number:
        return f"**{number}** — {_cited(best)}"
    if ask.kind is Kind.WHERE:
        return _place(best, voice)
    if not best.sentence.spoken:
        return _cited(best)
    return " ".join(_cited(finding) for finding in _enough_sentences(findings))


def _number(ask: Ask, best: Finding) -> str:
    if ask.kind not in {Kind.NUMBER, Kind.TIME}:
        return ""
    return asked_number(best.sentence.text, ask.terms, timed=ask.kind is Kind.TIME)


def _example(best: Finding, readings: list[Reading]) -> list[str]:
    """The commands or the code that the best sentence leads on to."""
    sentence = best.sentence
    if not sentence.spoken or not sentence.text.endswith((":", "：")):
        return []
    block = sentence.block
    shown = with_example(Quote(block.path, block.start, block.lines), readings)
    return ["\n".join(line for line in shown.lines[len(block.lines) :] if line.strip())] if shown else []


def _enough_sentences(findings: list[Finding]) -> list[Finding]:
    """The best sentence, and others that are about as good, in the text's order where one block has several."""
    chosen = [findings[0]]
    for finding in findings[1:8]:
        size = sum(len(f.sentence.text) for f in chosen) + len(finding.sentence.text)
        if finding.score < 0.8 * findings[0].score or size > MOST_CHARACTERS or len(chosen) == MOST_SENTENCES:
            break
        if finding.sentence.spoken:
            chosen.append(finding)
    together = [f for f in chosen if f.sentence.block == findings[0].sentence.block]
    return sorted(together, key=lambda f: f.sentence.line) + [f for f in chosen if f not in together]


def _cited(finding: Finding) -> str:
    sentence = finding.sentence
    text = shortened(plain(sentence.text)) if sentence.spoken else code(shortened(sentence.text))
    return f"{text} ({source_of(sentence.block, sentence.line)})"


def _place(finding: Finding, voice: Voice) -> str:
    sentence = finding.sentence
    block = sentence.block
    inside = (
        f" (`{block.context}`)"
        if block.kind == "code" and block.context
        else f" ({plain(block.context)})"
        if block.context
        else ""
    )
    where = source_of(block, sentence.line) + inside
    if sentence.spoken:
        return voice.say("where", where=where, text=shortened(plain(sentence.text)))
    return voice.say("where", where=where, text=code(shortened(sentence.text)))


def search_note(*, terms: list[Term], missing: list[Term], searched: int, cut: bool, voice: Voice) -> str:
    """What was searched for, what stands nowhere, and whether the tools held something back."""
    names = voice.names([term.label for term in terms])
    parts = [
        voice.say("searched", files=voice.files(searched), terms=names)
        if searched
        else voice.say("searched_plain", terms=names)
    ]
    if missing:
        parts.append(voice.say("missing", terms=voice.names([term.label for term in missing])))
    if cut:
        parts.append(voice.say("cut_search"))
    return voice.space.join(parts)
