"""The peer serves other processes too: real workers talk to it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.llm.conftest import KEY, Asker, Configure
from tests.peers.llm import Peer, PeerControl


@pytest.fixture
def control() -> Iterator[PeerControl]:
    command = [sys.executable, "-m", "tests.peers.llm", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield PeerControl(process.stdout.readline().strip())
        process.kill()


def test_a_peer_in_another_process_is_scripted_held_and_read(control: PeerControl, configure: Configure) -> None:
    configure(provider="openai", model="gpt-4o", api_key=KEY, base_url=f"{control.url}/v1")
    control.script({"text": "For everybody."})
    control.script({"text": "For the marked.", "hold": "gate"}, marker="marker:seven")
    marked, other = Asker(Peer(), "openai"), Asker(Peer(), "openai")
    answers: list[str] = []
    messages = [{"role": "user", "content": "Do it. marker:seven"}]
    asking = threading.Thread(target=lambda: answers.append(marked.ask(messages=messages).text))
    asking.start()

    control.wait_held(
        "gate", timeout=120
    )  # the library is loaded first, which takes seconds and on a busy machine more
    assert other.ask().text == "For everybody."
    assert answers == []
    control.release("gate")
    asking.join(timeout=10)

    assert answers == ["For the marked."]
    assert [entry["markers"] for entry in control.log()] == [["marker:seven"], []]
    assert [entry["outcome"] for entry in control.log()] == ["sent", "sent"]
    control.reset()
    assert control.log() == []
