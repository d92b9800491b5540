"""What a sync brings, what it leaves alone, and what it takes away again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from connectors import connecting
from connectors.models import Connector, Listing, Source, SyncJob
from memory.models import Memory, Passage
from memory.search.finding import search
from openintern.tenancy import people
from openintern.tenancy.models import Project
from openintern.tenancy.scope import Scope
from tests.conftest import Person
from tests.peers.feishu import Feishu, block, heading, table_blocks, text
from tests.peers.feishu.world import SPACE, Node, Table

from .conftest import current_keys, remembered

Connect = Callable[..., Connector]
Sync = Callable[[Connector], SyncJob]


def test_a_folder_is_gone_through_to_its_end(peer: Feishu, connect: Connect, sync: Sync) -> None:
    peer.page_size = 2
    for number in range(5):
        peer.world.write(f"doc{number}", f"The pangolin number {number} sleeps.", folder="root")
    peer.world.put("root", "folder", "below")
    peer.world.write("deep", "Deep down the aardvark digs.", folder="below")

    job = sync(connect(folder_tokens=["root"]))

    assert (job.status, job.error_message) == ("completed", "")
    assert job.stats | {"chunk_count": 0} == {
        "discovered": 6, "processed": 6, "skipped": 0, "failed": 0, "removed": 0, "postponed": 0, "docx_docs": 6,
        "sheets": 0, "bitable_tables": 0, "chunk_count": 0,
    }  # fmt: skip
    assert "aardvark" in remembered(job.connector)["docx:deep"]


def test_a_circle_of_folders_and_a_shortcut_end(peer: Feishu, connect: Connect, sync: Sync) -> None:
    peer.world.write("doc1", "Words", folder="root")
    peer.world.put("root", "folder", "below")
    peer.world.put("below", "folder", "root")
    peer.world.put("below", "shortcut", "short", target="doc1")

    job = sync(connect(folder_tokens=["root"]))

    assert (job.status, job.discovered, job.processed) == ("completed", 1, 1)
    assert peer.count("/drive/v1/files$") == 2


def test_wiki_pages_are_resolved_to_their_documents(peer: Feishu, connect: Connect, sync: Sync) -> None:
    peer.page_size = 1
    for number, parent in enumerate(("", "wiki0", "wiki1", "wiki0")):
        peer.world.write(f"obj{number}", f"Wiki page {number}")
        peer.world.nodes[f"wiki{number}"] = Node(f"wiki{number}", "docx", f"obj{number}", f"Page {number}", parent)

    by_node = sync(connect(wiki_node_tokens=["https://acme.feishu.cn/wiki/wiki0?from=x"]))
    by_space = sync(connect(wiki_space_ids=[SPACE]))

    assert set(remembered(by_node.connector)) == {f"docx:obj{number}" for number in range(4)}
    assert set(remembered(by_space.connector)) == set(remembered(by_node.connector))


def test_what_did_not_change_is_not_asked_for(peer: Feishu, connect: Connect, sync: Sync) -> None:
    for number in range(3):
        peer.world.write(f"doc{number}", f"Version one of {number}", folder="root")
    connector = connect(folder_tokens=["root"])
    sync(connector)
    peer.world.write("doc1", "Version two of 1")
    peer.asked.clear()

    job = sync(connector)

    assert (job.processed, job.skipped) == (1, 2)
    assert peer.count("/documents/doc1/blocks") == 1
    assert peer.count("/documents/") == 2, "of the others not even the revision"
    assert "Version two" in remembered(connector)["docx:doc1"]
    assert Memory.objects.filter(source_key="docx:doc1").count() == 1


def test_a_revision_that_was_read_is_not_downloaded_again(peer: Feishu, connect: Connect, sync: Sync) -> None:
    peer.world.write("doc1", "Words", folder="root")
    connector = connect(folder_tokens=["root"])
    sync(connector)
    peer.world.documents["doc1"].modified += 60  # somebody has only looked at it
    peer.asked.clear()

    job = sync(connector)

    assert (job.processed, job.skipped) == (0, 1)
    assert (peer.count("/documents/doc1$"), peer.count("/blocks")) == (1, 0)


@pytest.mark.parametrize("how", ["deleted", "gone in between", "not for us any more", "not named any more"])
def test_what_is_gone_is_forgotten(peer: Feishu, scope: Scope, connect: Connect, sync: Sync, how: str) -> None:
    peer.world.write("doc1", "The pangolin sleeps.", folder="root")
    peer.world.write("doc2", "The aardvark digs.", folder="root")
    connector = connect(folder_tokens=["root"])
    sync(connector)
    match how:
        case "deleted":
            peer.world.remove("doc1")
        case "gone in between":
            peer.world.documents["doc1"].modified += 60
            peer.world.gone.add("doc1")
        case "not for us any more":
            peer.world.documents["doc1"].modified += 60
            peer.world.forbidden.add("doc1")
        case _:
            connecting.change(scope, connector.pk, {"config": {"file_tokens": ["doc2"]}})

    job = sync(connector)

    assert (job.status, job.removed) == ("completed", 1)
    assert list(remembered(connector)) == ["docx:doc2"]
    hits = search(scope, "pangolin").hits
    assert not [hit for hit in hits if hit.document == "doc1"]


def test_a_lost_folder_takes_what_was_in_it(peer: Feishu, connect: Connect, sync: Sync) -> None:
    peer.world.write("doc1", "Words", folder="root")
    connector = connect(folder_tokens=["root"])
    sync(connector)
    peer.world.forbidden.add("root")

    job = sync(connector)

    assert (job.status, job.removed, remembered(connector)) == ("completed", 1, {})
    assert Listing.objects.get(job=job).problem == "FORBIDDEN"


def test_a_list_that_comes_back_to_a_page_ends_and_nothing_is_taken_for_gone(
    peer: Feishu, connect: Connect, sync: Sync
) -> None:
    for number in range(4):
        peer.world.write(f"doc{number}", "Words", folder="root")
    connector = connect(folder_tokens=["root"])
    sync(connector)
    peer.page_size, peer.repeats = 1, "/drive/v1/files$"

    job = sync(connector)

    assert (job.status, job.failed, job.removed) == ("completed", 1, 0)
    assert Listing.objects.get(job=job).problem == "PAGES_REPEAT"
    assert len(remembered(connector)) == 4


def test_what_another_connector_still_brings_stays(
    peer: Feishu, project: Project, connect: Connect, sync: Sync
) -> None:
    peer.world.write("doc1", "Words", folder="root")
    first, second = connect(folder_tokens=["root"]), connect(file_tokens=["doc1"])
    sync(first)
    sync(second)
    peer.world.folders["root"] = []

    assert sync(first).removed == 1
    assert "docx:doc1" in current_keys(project)
    peer.world.remove("doc1")
    sync(second)
    assert "docx:doc1" not in current_keys(project)


def test_a_removed_connector_takes_along_what_it_brought(
    peer: Feishu, scope: Scope, project: Project, connect: Connect, sync: Sync
) -> None:
    peer.world.write("doc1", "Words", folder="root")
    connector = connect(folder_tokens=["root"])
    sync(connector)

    connecting.remove(scope, connector.pk)

    assert "docx:doc1" not in current_keys(project)
    assert not SyncJob.objects.filter(connector=connector.pk).exists()


def test_passages_know_their_section_and_block(peer: Feishu, connect: Connect, sync: Sync) -> None:
    filler = text("Filler words about nothing in particular. " * 20)
    rollback = text("Press the red lever twice.")
    peer.world.write(
        "doc1", heading("Operations"), filler, heading("Rollback", 2), rollback, *table_blocks([["Lever", "Effect"], ["red", "back"]]),
        block("image", 27, {"token": "img1", "caption": {"content": "The levers"}}),
        text("Check the lever", "todo", 17, done=True), text("First", "ordered", 13), text("Second", "ordered", 13),
        text("print('hi')", "code", 14), title="Guide",
    )  # fmt: skip

    job = sync(connect(file_tokens=["doc1"]))

    told = remembered(job.connector)["docx:doc1"]
    for said in (
        "# Guide",
        "## Rollback",
        "| red | back |",
        "[图片: The levers]",
        "- [x] Check the lever",
        "2. Second",
        "print('hi')",
    ):
        assert said in told
    passage = Passage.objects.get(memory__source_key="docx:doc1", text__contains="red lever")
    assert passage.heading == "Operations › Rollback"
    found = Passage.objects.filter(memory__source_key="docx:doc1").values_list("anchor", flat=True)
    ids = {each["block_id"] for each in peer.world.documents["doc1"].blocks}
    assert all(anchor in ids for anchor in found if anchor)
    assert any(found)
    memory = Memory.objects.get(source_key="docx:doc1", forgotten_at=None)
    assert memory.metadata["revision"] == "1"
    assert (memory.source_type, memory.importance, memory.trust) == ("feishu_docx", 0.9, "outside")


def test_blocks_that_lead_back_to_themselves_end(peer: Feishu, connect: Connect, sync: Sync) -> None:
    first, second = text("Once"), text("Twice")
    first["children"], second["children"] = [second["block_id"]], [first["block_id"]]
    peer.world.write("doc1", first, second)

    job = sync(connect(file_tokens=["doc1"]))

    assert remembered(job.connector)["docx:doc1"].count("Once") == 1


def test_every_field_of_every_record_is_kept(peer: Feishu, connect: Connect, sync: Sync) -> None:
    fields = [("Name", 1), ("Due", 5), ("Done", 7), ("Who", 11), ("Link", 15), ("Score", 2), ("Tags", 4)]
    record = {
        "Name": [{"text": "Pan", "type": "text"}, {"text": "golin", "type": "text"}], "Due": 1_700_000_000_000,
        "Done": True, "Who": [{"id": "ou_1", "name": "李雷"}], "Link": {"link": "https://example.com", "text": "Site"},
        "Score": 0, "Tags": ["a", "b"],
    }  # fmt: skip
    peer.world.apps["base"] = {"tbl1": Table("Animals", fields, [record, {"Name": "x"}, {"Name": "y"}])}
    peer.page_size = 2
    connector = connect(bitable_app_tokens=["base"], max_records_per_table=2)

    job = sync(connector)

    told = remembered(connector)["bitable:base:tbl1"]
    for line in (
        "Name: Pangolin",
        "Due: 2023-11-14 22:13",
        "Done: ✓",
        "Who: 李雷",
        "Link: Site",
        "Score: 0",
        "Tags: a, b",
        "Name: x",
    ):
        assert line in told
    assert job.bitable_tables == 1
    assert Source.objects.get(connector=connector).memory.metadata["has_more_records"] is True  # type: ignore[union-attr]
    peer.asked.clear()
    assert sync(connector).skipped == 1
    assert peer.count("/records/search") == 0


def test_sheets_keep_their_head_and_their_revision(peer: Feishu, connect: Connect, sync: Sync) -> None:
    rows: list[list[object]] = [["City", "People"], *[[f"city {number}", number] for number in range(90)]]
    peer.world.sheets["sht1"] = {"Cities": rows, "Empty": []}
    connector = connect(file_tokens=["sht1"])

    job = sync(connector)

    told = remembered(connector)["sheet:sht1"]
    assert job.sheets == 1
    assert told.count("| City | People |") == 3
    assert "| city 89 | 89 |" in told
    Source.objects.filter(connector=connector).update(read_marker="")
    peer.asked.clear()
    assert sync(connector).skipped == 1
    assert peer.count("/values/") == 0


def test_comments_are_brought_where_they_are_wanted(peer: Feishu, connect: Connect, sync: Sync) -> None:
    peer.world.write("doc1", "Words", folder="root").comments = ["I disagree"]
    connector = connect(folder_tokens=["root"], include_comments=True)
    sync(connector)
    assert "I disagree" in remembered(connector)["docx:doc1"]
    peer.world.documents["doc1"].comments.append("So do I")

    sync(connector)

    assert "So do I" in remembered(connector)["docx:doc1"]


def test_another_way_of_cutting_reads_everything_anew(peer: Feishu, scope: Scope, connect: Connect, sync: Sync) -> None:
    peer.world.write("doc1", *["A sentence of some length stands here. " * 3] * 20, folder="root")
    connector = connect(folder_tokens=["root"])
    before = sync(connector).chunk_count

    chunking = {"target_tokens": 120, "max_tokens": 240, "min_tokens": 40}
    connecting.change(scope, connector.pk, {"config": {"folder_tokens": ["root"], "chunking": chunking}})
    after = sync(connecting.find(scope, connector.pk)).chunk_count

    assert after > 2 * before > 0


def test_a_sync_reads_so_much_and_the_next_one_goes_on(peer: Feishu, connect: Connect, sync: Sync) -> None:
    for number in range(5):
        peer.world.write(f"doc{number}", "Words", folder="root")
    connector = connect(folder_tokens=["root"], max_docs_per_sync=2)

    assert [(job.processed, job.postponed) for job in (sync(connector), sync(connector), sync(connector))] == [
        (2, 3), (2, 1), (1, 0),
    ]  # fmt: skip


def test_another_project_finds_nothing(peer: Feishu, scope: Scope, alice: Person, connect: Connect, sync: Sync) -> None:
    peer.world.write("doc1", "The pangolin wears a fedora.", folder="root")
    sync(connect(folder_tokens=["root"]))
    other = people.create_project("elsewhere", org=alice.org, name="Elsewhere", by=alice.user)

    assert search(scope, "pangolin fedora").hits
    assert not [hit for hit in search(replace(scope, project=other), "pangolin fedora").hits if "fedora" in hit.text]
