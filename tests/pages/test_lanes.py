"""A team's trace: lanes, cards, the decision with what it rests on. The logs are written as a team's run writes them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from openintern.tenancy.scope import org_scope
from runs import log
from runs.events import Draft, EventType
from runs.models import Run
from runs.pages.lanes import Lane, Team, team_of
from tests.conftest import Person

StartRun = Callable[..., Run]

SCOUT, CRITIC, LEAD = "agent_scout", "agent_critic", "agent_lead"
NAMES = {SCOUT: "Scout", CRITIC: "Critic", LEAD: "Editor"}


@pytest.fixture
def team_run(start_run: StartRun) -> Callable[..., Run]:
    """Begin a team's run of Alice's: a scout, a critic, and an editor who leads."""

    def begin(person: Person, text: str = "Which port?", **pinned: Any) -> Run:
        run = start_run(person, text)
        members = [
            {"id": f"mbr_{number}", "agent_id": agent_id, "name": name, "ordinal": number, "is_lead": agent_id == LEAD}
            for number, (agent_id, name) in enumerate(NAMES.items())
        ]
        team = {"id": "grp_desk", "name": "News desk", "mode": "serial", "max_rounds": 3, "members": members, **pinned}
        with org_scope(person.org):
            config = {**run.config, "team": team}
            Run.objects.filter(pk=run.pk).update(config=config, group_id="grp_desk", agent_id="group:grp_desk")
            run = Run.objects.select_related("session").get(pk=run.pk)
            log.append(run, Draft(EventType.RUN_STARTED, {"input": text}), status=Run.Status.RUNNING, attempt=run.attempt, started_at=timezone.now())  # fmt: skip
        return run

    return begin


def begun(agent_id: str, *, number: int = 1, task: str = "Which port?", after: tuple[str, ...] = ()) -> Draft:
    told = {"memberId": "mbr", "agentId": agent_id, "role": NAMES[agent_id], "isLead": agent_id == LEAD}
    told |= {"round": number, "ordinal": 0, "task": task, "handedOn": list(after)}
    return Draft(EventType.MEMBER_STARTED, told, agent_id=agent_id)


def done(agent_id: str, output: str = "", *, number: int = 1, tokens: int = 100, cost: str = "0.01") -> Draft:
    told = {"memberId": "mbr", "agentId": agent_id, "role": NAMES[agent_id], "round": number, "output": output}
    told |= {"durationMs": 5, "promptTokens": tokens, "completionTokens": 0, "cost": cost}
    return Draft(EventType.MEMBER_COMPLETED, told, agent_id=agent_id)


def failed(agent_id: str, message: str, *, again: bool) -> Draft:
    told = {"memberId": "mbr", "agentId": agent_id, "role": NAMES[agent_id], "round": 1, "willRetry": again}
    told |= {"code": "LLM_ERROR", "message": message, "promptTokens": 7, "completionTokens": 0, "cost": "0"}
    return Draft(EventType.MEMBER_FAILED, told, agent_id=agent_id)


def said(kind: EventType, agent_id: str, **told: Any) -> Draft:
    return Draft(kind, {"refs": [], "from": agent_id, "role": NAMES[agent_id], **told}, agent_id=agent_id)


def write(person: Person, run: Run, *drafts: Draft) -> int:
    """Write the drafts, each at a time of its own; return the number of the last."""
    with org_scope(person.org):
        for draft in drafts:
            log.append(run, draft)
    return run.last_seq


def finish(person: Person, run: Run, output: str) -> None:
    with org_scope(person.org):
        end = Draft(EventType.RUN_COMPLETED, {"output": output})
        log.append(run, end, status=Run.Status.COMPLETED, output=output, ended_at=timezone.now())


def lanes_of(person: Person, run: Run) -> tuple[Team, dict[str, Lane]]:
    with org_scope(person.org):
        team = team_of(Run.objects.get(pk=run.pk), now=timezone.now())
    assert team is not None
    return team, {lane.name: lane for lane in team.lanes}


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, (response.status_code, path)
    return response.content.decode()


def test_each_member_has_a_lane_and_the_lead_comes_last_and_is_marked(alice: Person, team_run: Any) -> None:
    run = team_run(alice)

    shown = page(alice.signed_in(), f"/trace/{run.pk}")

    assert re.findall(r'id="name-(\w+)"', shown) == [SCOUT, CRITIC, LEAD]
    assert shown.count("Its turn is still to come") == 3
    assert re.search(rf'class="lane lead" id="lane-{LEAD}"', shown)


def test_a_turn_says_its_round_what_it_cost_and_whom_it_waited_for(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    write(alice, run, begun(SCOUT), done(SCOUT, "8080", tokens=120, cost="0.02"))
    write(alice, run, begun(CRITIC, after=(SCOUT,)), done(CRITIC, "sure?"), begun(LEAD, after=(SCOUT, CRITIC)))

    team, lanes = lanes_of(alice, run)

    scout, lead = lanes["Scout"].turns[0], lanes["Editor"].turns[0]
    assert (scout.round, scout.tokens, str(lanes["Scout"].cost), scout.output) == (1, 120, "0.02", "8080")
    assert lead.after == ("Scout", "Critic")
    assert (lead.is_live, lanes["Editor"].status, lanes["Scout"].status) == (True, "running", "completed")
    assert team.round == 1


def test_what_a_turn_that_goes_on_has_used_is_counted_too(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    answer = {"model": "m", "text": "", "totalTokens": 40, "cost": "0.005"}
    write(alice, run, Draft(EventType.LLM_CALLED, answer, agent_id=SCOUT), done(SCOUT))
    write(alice, run, begun(CRITIC), *(Draft(EventType.LLM_CALLED, answer, agent_id=CRITIC) for _ in range(2)))

    _, lanes = lanes_of(alice, run)

    assert (lanes["Critic"].tokens, str(lanes["Critic"].cost)) == (80, "0.010000")


def test_a_second_round_stands_in_the_same_lane_with_what_was_asked(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    write(alice, run, begun(SCOUT), done(SCOUT), begun(LEAD, after=(SCOUT,)))
    write(alice, run, said(EventType.MESSAGE_TASK, LEAD, to=SCOUT, toRole="Scout", text="Look into config.yaml"))
    write(alice, run, done(LEAD), begun(SCOUT, number=2, task="Look into config.yaml", after=(SCOUT, LEAD)))

    team, lanes = lanes_of(alice, run)
    shown = page(alice.signed_in(), f"/trace/{run.pk}")

    assert [turn.round for turn in lanes["Scout"].turns] == [1, 2]
    assert team.round == 2
    assert [(card.kind, card.to) for card in lanes["Editor"].turns[0].cards] == [("task", "Scout")]
    assert "Asked:</b> Look into config.yaml" in shown


def test_a_failed_turn_says_why_and_that_it_was_tried_again(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    write(alice, run, begun(SCOUT), failed(SCOUT, "The model is away", again=True), begun(SCOUT), done(SCOUT, "8080"))

    _, lanes = lanes_of(alice, run)
    shown = page(alice.signed_in(), f"/trace/{run.pk}")

    assert [turn.status for turn in lanes["Scout"].turns] == ["failed", "completed"]
    assert lanes["Scout"].tokens == 107
    assert "The model is away · tried once more" in shown


def test_the_decision_stands_on_top_with_its_evidence_and_each_leads_to_its_event(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    write(alice, run, begun(SCOUT))
    read = write(alice, run, Draft(EventType.TOOL_RESULT, {"toolName": "read_file", "isError": False}, agent_id=SCOUT))
    by_entry = said(EventType.MESSAGE_EVIDENCE, SCOUT, text="port: 8080", source="config.yaml:3", entryId="entry_1", confidence=0.9, refs=[{"run_id": run.pk, "seq": read}])  # fmt: skip
    write(alice, run, by_entry)
    by_seq = write(alice, run, said(EventType.MESSAGE_EVIDENCE, SCOUT, text="the README says so"))
    rests_on = [{"entryId": "entry_1"}, {"seq": by_seq}, {"seq": 999}]
    decision = said(EventType.MESSAGE_DECISION, LEAD, decision="Use *8080*", rationale="Both agree", evidence=rests_on, nextActions=["Tell Ops"])  # fmt: skip
    decided = write(alice, run, done(SCOUT), begun(LEAD), decision)
    finish(alice, run, "Use 8080")
    client = alice.signed_in()

    team, _ = lanes_of(alice, run)
    shown = html.unescape(page(client, f"/trace/{run.pk}"))

    assert team.decision is not None
    assert [card.text for card in team.decision.evidence] == ["port: 8080", "the README says so"]
    assert shown.index("Use <em>8080</em>") < shown.index("lane-figures")
    for words in ("Both agree", "Tell Ops", "config.yaml:3", "90% sure"):
        assert words in shown
    for seq in (read, decided, by_seq):
        href = f"/trace/{run.pk}?view=events&cursor={seq - 1}#event-{seq}-body"
        assert f'href="{href}"' in shown
        assert f'id="event-{seq}-body"' in page(client, href)


def test_without_a_decision_there_is_none_on_top(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    write(alice, run, begun(SCOUT), said(EventType.MESSAGE_STATUS, SCOUT, text="half way", progress=0.5))

    shown = page(alice.signed_in(), f"/trace/{run.pk}")

    assert 'class="decided"' not in shown
    assert "half way" in shown
    assert "50%" in shown


def test_members_that_work_at_once_have_their_own_runs_as_lanes(alice: Person, team_run: Any, start_run: Any) -> None:
    run = team_run(alice, mode="parallel")
    child = start_run(alice, "the scout's part", session_key="s_child")
    with org_scope(alice.org):
        Run.objects.filter(pk=child.pk).update(parent=run.pk, group_id="grp_desk", agent_id=SCOUT)
        child.agent_id = SCOUT
        log.append(child, status=Run.Status.RUNNING, attempt=child.attempt, started_at=timezone.now())
    apart = begun(SCOUT, task="the scout's part")
    apart.payload["runId"] = child.pk
    write(alice, run, apart)
    with org_scope(alice.org):
        log.append(run, status=Run.Status.WAITING)
    assert lanes_of(alice, run)[1]["Scout"].status == "running"  # though the team's own run waits
    with org_scope(alice.org):
        log.append(run, status=Run.Status.RUNNING)
    write(alice, child, said(EventType.MESSAGE_EVIDENCE, SCOUT, text="port: 8080", entryId="entry_2"))
    assert f"/api/runs/{child.pk}/stream?cursor=1" in lanes_of(alice, run)[0].streams
    finish(alice, child, "It is 8080")
    ended = done(SCOUT, "It is 8080")
    ended.payload["runId"] = child.pk
    write(alice, run, ended)
    write(alice, run, begun(LEAD, after=(SCOUT,)))
    write(alice, run, said(EventType.MESSAGE_DECISION, LEAD, decision="8080", evidence=[{"entryId": "entry_2"}]))

    team, lanes = lanes_of(alice, run)
    shown = page(alice.signed_in(), f"/trace/{run.pk}")

    [turn] = lanes["Scout"].turns
    assert (turn.run_id, turn.status, turn.output, [card.text for card in turn.cards]) == (
        child.pk, "completed", "It is 8080", ["port: 8080"],
    )  # fmt: skip
    assert team.decision is not None
    assert [card.author for card in team.decision.evidence] == ["Scout"]
    assert f'href="/trace/{child.pk}"' in shown
    assert "Asked:</b> the scout" in html.unescape(shown)
    assert "Work was given to" not in shown


def test_the_end_of_the_run_ends_the_turn_that_was_going_on(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    write(alice, run, begun(SCOUT))
    with org_scope(alice.org):
        log.append(run, Draft(EventType.RUN_CANCELLED), status=Run.Status.CANCELLED, ended_at=timezone.now())

    _, lanes = lanes_of(alice, run)

    assert (lanes["Scout"].status, lanes["Scout"].turns[0].is_live) == ("cancelled", False)


def test_who_was_at_work_when_the_run_was_cancelled_did_not_fail(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    write(alice, run, begun(SCOUT))
    told = {"agentId": SCOUT, "role": "Scout", "code": "RUN_CANCELLED", "message": "The run was cancelled"}
    cut = Draft(EventType.MEMBER_FAILED, told, agent_id=SCOUT)
    with org_scope(alice.org):
        log.append(run, cut, Draft(EventType.RUN_CANCELLED), status=Run.Status.CANCELLED, ended_at=timezone.now())

    _, lanes = lanes_of(alice, run)

    assert (lanes["Scout"].status, lanes["Scout"].turns[0].failure) == ("cancelled", "")


def test_what_members_say_is_text_on_the_page(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    evil = "</p><script>alert(1)</script>"
    write(alice, run, begun(SCOUT, task=evil), said(EventType.MESSAGE_EVIDENCE, SCOUT, text=evil, source=evil))
    write(alice, run, failed(SCOUT, evil, again=False), begun(LEAD))
    write(alice, run, said(EventType.MESSAGE_DECISION, LEAD, decision=evil, rationale=evil, nextActions=[evil]))
    client = alice.signed_in()

    for view in ("team", "steps", "events"):
        assert "<script>alert" not in page(client, f"/trace/{run.pk}?view={view}")


def test_the_raw_view_names_the_members_and_filters_what_they_did_and_said(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    write(alice, run, begun(SCOUT), said(EventType.MESSAGE_PROPOSAL, SCOUT, text="Ask Ops"), done(SCOUT, "asked"))
    client = alice.signed_in()

    messages = page(client, f"/trace/{run.pk}?view=events&type=message.proposal")
    members = page(client, f"/trace/{run.pk}?view=events&type=member.completed")

    assert "<b>Scout</b> Ask Ops" in messages
    assert messages.count('class="event ') == members.count('class="event ') == 1
    assert "asked" in members


def test_the_steps_say_whose_they_are(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    write(alice, run, begun(SCOUT), Draft(EventType.STEP_STARTED, {"stepNumber": 1}, agent_id=SCOUT), done(SCOUT))

    shown = page(alice.signed_in(), f"/trace/{run.pk}?view=steps")

    assert "<b>Scout</b> is at work (round 1)" in shown
    assert "<b>Scout</b> is done" in shown
    assert 'class="lane"' not in shown


def test_the_trace_of_one_agent_has_no_lanes(alice: Person, start_run: StartRun) -> None:
    run = start_run(alice)

    shown = page(alice.signed_in(), f"/trace/{run.pk}?view=team")

    assert "lane" not in shown
    assert f'href="/trace/{run.pk}" aria-current="true">Steps' in shown


def test_a_team_that_talks_without_end_is_a_usable_page(alice: Person, team_run: Any) -> None:
    run = team_run(alice)
    write(alice, run, begun(SCOUT))
    with org_scope(alice.org):
        log.append(run, *(said(EventType.MESSAGE_STATUS, SCOUT, text=f"n{n}") for n in range(1200)))
    write(alice, run, done(SCOUT), begun(LEAD), said(EventType.MESSAGE_DECISION, LEAD, decision="Enough"))

    team, lanes = lanes_of(alice, run)

    assert len(lanes["Scout"].turns[0].cards) == 500
    assert team.decision is not None
    assert "More was said than is shown here" in page(alice.signed_in(), f"/trace/{run.pk}")


def test_the_page_takes_as_many_queries_however_much_was_done(alice: Person, team_run: Any) -> None:
    client = alice.signed_in()

    def count(turns: int) -> int:
        run = team_run(alice)
        for number in range(turns):
            evidence = said(EventType.MESSAGE_EVIDENCE, SCOUT, text="x", entryId=f"entry_{number}")
            write(alice, run, begun(SCOUT, number=number + 1), evidence, done(SCOUT, number=number + 1))
        page(client, f"/trace/{run.pk}")
        with CaptureQueriesContext(connection) as queries:
            page(client, f"/trace/{run.pk}")
        return len([one for one in queries.captured_queries if not one["sql"].startswith("SET search_path")])

    assert count(1) == count(5) <= 10


def test_charlie_sees_nothing_of_a_teams_lanes(charlie: Person, alice: Person, team_run: Any) -> None:
    run = team_run(alice)

    assert charlie.signed_in().get(f"/trace/{run.pk}").status_code == 404
