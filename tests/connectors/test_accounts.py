"""What we take for Feishu and MinerU, held against the real ones: for whoever has an account. Skipped without one.

    OPENINTERN_FEISHU_APP_ID=cli_… OPENINTERN_FEISHU_APP_SECRET=… OPENINTERN_FEISHU_FOLDER=fldcn… \
    OPENINTERN_MINERU_API_KEY=… .venv/bin/pytest -rs -s tests/connectors/test_accounts.py

`OPENINTERN_FEISHU_SPACE` looks at a wiki space, too, `OPENINTERN_FEISHU_URL` asks another Feishu; with `OPENINTERN_REFRESH=1` what is
new is taken over into tests/peers/feishu/shapes.json.
"""

from __future__ import annotations

import copy
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.feishu import asking
from connectors.mineru import archive, content, service
from connectors.models import Connector
from openintern.configuration.values import Mineru
from openintern.secret_store import Secret
from tests.memory.documents.making import pdf
from tests.peers.feishu import Feishu, recorded
from tests.peers.feishu.server import APP_ID, APP_SECRET
from tests.peers.feishu.world import SHAPES, SPACE, Node, Table
from tests.peers.mineru import ITEMS
from tests.peers.mineru import Mineru as Peer

PATH = Path(recorded.__file__).with_name("shapes.json")
SECONDS = 600.0


def account(*names: str) -> list[str]:
    """What the owner of an account tells in the environment; without it the test is skipped and says so."""
    told = [os.environ.get(f"OPENINTERN_{name}", "") for name in names]
    if not all(told):
        missing = [f"OPENINTERN_{name}" for name, value in zip(names, told, strict=True) if not value]
        pytest.skip(f"needs an account: {', '.join(missing)}")
    return told


def connector_of(url: str, app_id: str, secret: str) -> Connector:
    return Connector(base_url=url, app_id=app_id, app_secret=Secret.seal(secret))


@pytest.mark.django_db
def test_feishu_answers_as_its_peer_does() -> None:
    app_id, secret, folder = account("FEISHU_APP_ID", "FEISHU_APP_SECRET", "FEISHU_FOLDER")
    url = os.environ.get("OPENINTERN_FEISHU_URL", "https://open.feishu.cn")

    with asking.asker(connector_of(url, app_id, secret)) as feishu:
        found = recorded.seen(feishu, folder=folder, space=os.environ.get("OPENINTERN_FEISHU_SPACE", ""))
    comparison = recorded.compared(SHAPES, found)
    if os.environ.get("OPENINTERN_REFRESH"):
        recorded.refresh(PATH, comparison)

    print(f"\nnot looked at, for there was none: {comparison.unseen}")
    print(f"recorded, and in no answer: {comparison.not_there}")
    print(f"new: {json.dumps(comparison.new, indent=1)}")
    assert found["GET /open-apis/drive/v1/files"], "the folder is empty, or not shared with the app"
    assert comparison.of_another_type == []


def test_mineru_answers_as_its_peer_does() -> None:
    (key,) = account("MINERU_API_KEY")
    base_url = os.environ.get("OPENINTERN_MINERU_URL", Mineru.base_url)

    words = read_by_mineru(service.Service(Mineru(api_key=key, base_url=base_url)))

    assert "lighthouse" in words


def read_by_mineru(mineru: service.Service, *, pause: float = 3.0) -> str:
    """Have a page read as the product does, by the same requests; return what was found, with unknown types said."""
    made, named = pdf("The lighthouse of Kolberg\nIt has stood there since 1866."), f"check{int(time.time())}"
    options = {"model_version": "pipeline", "is_ocr": False, "enable_formula": True, "enable_table": True}
    batch = mineru.begin_file(
        io.BytesIO(made), name="check.pdf", size=len(made), options=options, data_id=named, keep=lambda: None
    )
    ends_at = time.monotonic() + SECONDS
    while (progress := mineru.look(batch_id=batch, data_id=named, name="check.pdf")).state == "running":
        assert time.monotonic() < ends_at, "it isn't read in time"
        time.sleep(pause)
    assert progress.state == "done", progress.problem
    with tempfile.TemporaryFile() as packed:
        service.download(progress.zip_url, packed, keep=lambda: None)
        found = archive.opened(packed)
    kinds = {str(item.get("type")) for item in content.items(found.content_list)}
    print(f"\ntypes that the peer has not: {sorted(kinds - {item['type'] for item in ITEMS})}")
    return "\n".join(part.text for part in content.parts_of(found))


# --- the check itself, against the peers


@pytest.fixture
def answers(peer: Feishu, db: None) -> dict[str, list[dict[str, Any]]]:
    """What the peer answers, of everything that it can."""
    peer.world.write("doc1", "Words", folder="root").comments.append("A remark")
    peer.world.sheets["sheet1"] = {"S": [["a"]]}
    peer.world.apps["base1"] = {"tbl1": Table("T", [("Name", 1)], [{"Name": "x"}])}
    peer.world.nodes["wiki1"] = Node("wiki1", "docx", "doc1", "Page")
    for kind, token in (("sheet", "sheet1"), ("bitable", "base1")):
        peer.world.put("root", kind, token)
    with asking.asker(connector_of(peer.url, APP_ID, APP_SECRET)) as feishu:
        return recorded.seen(feishu, folder="root", space=SPACE)


def test_the_check_sees_all_that_is_recorded(answers: dict[str, list[dict[str, Any]]]) -> None:
    comparison = recorded.compared(SHAPES, answers)

    assert (comparison.of_another_type, comparison.not_there, comparison.unseen) == ([], [], [])
    assert comparison.new == {}


def test_what_differs_is_named_and_what_is_new_taken_over_without_its_words(
    answers: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    shape = "GET /open-apis/docx/v1/documents/:document_id"
    told = copy.deepcopy(answers)
    told[shape][0] |= {"revision_id": "7", "icon": "a secret word"}
    del told[shape][0]["cover"]

    comparison = recorded.compared(SHAPES, told)
    file = tmp_path / "shapes.json"
    file.write_bytes(PATH.read_bytes())
    recorded.refresh(file, comparison)

    assert comparison.of_another_type == [f"{shape}: revision_id is str"]
    assert comparison.not_there == [f"{shape}: cover"]
    assert json.loads(file.read_text())[shape] == SHAPES[shape] | {"icon": ""}
    assert len(file.read_text().splitlines()) == len(PATH.read_text().splitlines())


def test_the_check_of_mineru_reads_what_its_peer_answers(mineru: Peer, use_mineru: Callable[..., None]) -> None:
    use_mineru()
    mineru.states = ["pending", "done"]
    told = Mineru(api_key=mineru.token, base_url=f"{mineru.url}/api/v4")

    assert "harbour" in read_by_mineru(service.Service(told), pause=0)
