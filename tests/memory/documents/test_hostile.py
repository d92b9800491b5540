"""Documents that were made to do harm: each ends in a named problem, and takes nothing down with it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from memory.documents import child, kinds
from memory.documents import reading as apart
from memory.documents.parts import Unreadable
from memory.documents.reading import Findings

from .making import changed_zip, encrypted_pdf, many_pages, pdf, word

Reading = Callable[..., Findings]

REPORT = word(lambda document: document.add_paragraph("Hello"))
MAIN = "word/document.xml"
BODY = '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>%s</w:body></w:document>'


def problem(reading: Reading, content: bytes, kind: str) -> str:
    with pytest.raises(Unreadable) as refusal:
        reading(content, kind=kind)
    return refusal.value.problem


def entries(archive: zipfile.ZipFile, count: int) -> None:
    for number in range(count):
        archive.writestr(f"word/media/{number}.png", b"")


def with_main(xml: str) -> bytes:
    return changed_zip(REPORT, lambda archive: archive.writestr(MAIN, xml), without=MAIN)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"%PDF-1.7\nno more", "broken"),
        (pdf("text")[:300], "broken"),
        (encrypted_pdf(), "encrypted"),
        (many_pages(100_000), "too_many_pages"),
        (many_pages(30), "no_text"),
        (pdf(""), "no_text"),
    ],
    ids=["nothing in it", "cut off", "password", "100,000 pages", "a scan", "an empty page"],
)
def test_a_pdf_that_cannot_be_read_says_why(reading: Reading, content: bytes, told: str) -> None:
    assert problem(reading, content, kinds.PDF) == told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PK\x03\x04 and no more", "broken"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "encrypted"),
        (changed_zip(REPORT, lambda archive: archive.writestr("xl/workbook.xml", "<x/>"), without=MAIN), "not_word"),
        (changed_zip(REPORT, lambda archive: archive.writestr("word/media/a.bin", b"\0" * 50_000_000)), "bomb"),
        (changed_zip(REPORT, lambda archive: entries(archive, 6_000)), "bomb"),
        (with_main("<not xml"), "broken"),
        (with_main(BODY % ""), "no_text"),
        (with_main('<!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + BODY % "<w:p><w:t>&x;</w:t></w:p>"), "broken"),
        (with_main(BODY % ("<w:p>" * 5000)), "broken"),
    ],
    ids=["cut off", "password", "a spreadsheet", "bomb", "entries", "no XML", "empty", "entities", "deep"],
)  # fmt: skip
def test_a_word_document_that_cannot_be_read_says_why(reading: Reading, content: bytes, told: str) -> None:
    assert problem(reading, content, kinds.DOCX) == told


def test_names_in_a_zip_lead_nowhere(reading: Reading, tmp_path: Path) -> None:
    def add(archive: zipfile.ZipFile) -> None:
        archive.writestr("../../escaped.xml", "<x/>")
        archive.writestr(str(tmp_path / "absolute.xml"), "<x/>")

    found = reading(changed_zip(REPORT, add), kind=kinds.DOCX)

    assert [part.text.strip() for part in found.parts] == ["Hello"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["document"]


def test_what_was_deleted_in_word_is_left_out_and_what_was_inserted_is_not(reading: Reading) -> None:
    xml = BODY % (
        "<w:p><w:r><w:t>stays</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t> came</w:t></w:r></w:ins></w:p>"
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>in a control</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        "<w:p><w:r><w:t>beside</w:t><w:pict><w:txbxContent><w:p><w:r><w:t>a box</w:t></w:r></w:p></w:txbxContent></w:pict></w:r></w:p>"
    )

    found = reading(with_main(xml), kind=kinds.DOCX)

    assert [part.text.strip() for part in found.parts] == ["stays came", "in a control", "beside", "a box"]


def test_html_without_a_bottom_ends(reading: Reading) -> None:
    found = reading(b"<html>" + b"<div>" * 5_000 + b"deep", kind=kinds.HTML)

    assert [part.text.strip() for part in found.parts] == ["deep"]


def test_a_reader_that_takes_too_long_is_ended(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "SECONDS", 0.0)

    assert problem(reading, b"<html>" + b"<div>" * 100_000, kinds.HTML) == "too_slow"


def test_a_longer_text_than_a_document_has_is_refused_and_not_cut(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "LONGEST_TEXT", 20)

    for content, kind in ((b"word " * 5, kinds.TEXT), (b"<html><p>" + b"word " * 5, kinds.HTML)):
        assert problem(reading, content, kind) == "too_long"


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import os; os.abort()", "broken"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "too_demanding"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "too_slow"),
        ("print('x' * 1000)", "broken"),
        ("print('{\"part\": [\"paragraph\", \"x\", 0, \"\", null]}')", "broken"),
        ("print('{\"end\": 7}')", "broken"),
        ("print('[' * 100000)", "broken"),
        ("import sys\nwhile True: sys.stdout.write('x' * 65536)", "too_long"),
    ],
)  # fmt: skip
def test_a_reader_that_was_taken_over_can_only_fail(
    reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, told: str
) -> None:
    package = tmp_path / "taken" / "memory" / "documents"
    package.mkdir(parents=True)
    (package / "child.py").write_text(program)
    monkeypatch.setattr(apart, "_ROOT", tmp_path / "taken")

    assert problem(reading, b"<p>", kinds.HTML) == told


def test_a_reader_has_no_secret_and_bounds_of_its_own(
    reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    package = tmp_path / "watched" / "memory" / "documents"
    package.mkdir(parents=True)
    (package / "child.py").write_text(
        f"import json, os, resource, sys\nsys.path.insert(0, {str(Path.cwd())!r})\n"
        "import importlib.util as u\n"
        f"spec = u.spec_from_file_location('child', {child.__file__!r})\n"
        "for name in [n for n in sys.modules if n.split('.')[0] == 'memory']: del sys.modules[name]\n"
        "child = u.module_from_spec(spec); spec.loader.exec_module(child); child._bound_ourselves()\n"
        "told = [dict(os.environ), resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CPU)[0]]\n"
        "child._say(part=['paragraph', json.dumps(told), 0, '', None]); child._say(end=1)\n"
    )
    monkeypatch.setattr(apart, "_ROOT", tmp_path / "watched")

    told = reading(b"<p>", kind=kinds.HTML).parts[0].text

    assert "canary" not in told
    assert "DATABASE_URL" not in told
    assert told.endswith(f"{child.MEMORY}, {child.CPU_SECONDS}]")


def test_no_process_is_left_behind(reading: Reading) -> None:
    def interrupt(findings: Findings) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reading(pdf("text"), kind=kinds.PDF, watch=interrupt)

    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not any(b"memory.documents.child" in command for command in running)
