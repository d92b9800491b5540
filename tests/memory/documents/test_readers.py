"""From each format to the same parts: text that is all there, headings, tables, pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from docx.document import Document as Word
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.chunking import blocks_of, split
from memory.documents import kinds
from memory.documents.decoding import decoded
from memory.documents.parts import Part, as_wire, blocks_in, from_wire, heading, paragraph, table
from memory.documents.readers import reader_of
from memory.documents.readers.pdf import paragraphs
from memory.documents.reading import Findings

from .making import page_was_broken, pdf, word

Reading = Callable[..., Findings]


def parts(content: bytes, kind: str) -> list[Part]:
    return list(reader_of(kind)(content, lambda **facts: None))


def texts(found: Any) -> list[str]:
    return [part.text.strip() for part in found]


@pytest.mark.parametrize(
    ("content", "name", "declared", "kind"),
    [
        (b"%PDF-1.7\n", "a.txt", "text/plain", kinds.PDF),
        (b"\n\n%PDF-1.4", "a.html", "", kinds.PDF),
        (b"PK\x03\x04rest", "a.md", "", kinds.DOCX),
        (b"<!DOCTYPE html><p>x", "a.txt", "", kinds.HTML),
        (b"<?xml version='1.0'?>\n<!-- c --><html>", "a", "", kinds.HTML),
        (b"<p>x</p>", "a.htm", "", kinds.HTML),
        (b"<p>x</p>", "a", "text/html; charset=utf-8", kinds.HTML),
        (b"# Title", "README.md", "application/octet-stream", kinds.MARKDOWN),
        (b"# Title", "note", "text/markdown", kinds.MARKDOWN),
        (b"see <html> and %PDF-", "note", "", kinds.TEXT),
        ("一二三".encode("gb18030"), "a.txt", "", kinds.TEXT),
        ("一二三".encode("utf-16"), "a.txt", "", kinds.TEXT),
        (b"\x89PNG\r\n\x1a\n\0\0", "a.pdf", "application/pdf", None),
        (b"MZ\0\0", "a.docx", "", None),
        (b"\xd0\xcf\x11\xe0\0\0", "old.doc", "application/msword", None),
        (b"\x01\x02\x03\x04" * 40, "a.txt", "text/plain", None),
    ],
)
def test_a_document_is_what_its_content_is(content: bytes, name: str, declared: str, kind: str | None) -> None:
    assert kinds.kind_of(content, name=name, declared=declared) == kind


@pytest.mark.parametrize(
    ("content", "text", "encoding"),
    [
        ("naïve 部署".encode(), "naïve 部署", "utf-8"),
        ("部署".encode("utf-8-sig"), "部署", "utf-8-sig"),
        ("部署 é".encode("utf-16"), "部署 é", "utf-16"),
        ("部署之前先备份数据库。".encode("gbk"), "部署之前先备份数据库。", "gb18030"),
        ("Le café est à côté.".encode("latin-1"), "Le café est à côté.", "cp1252"),
        (b"a\r\nb\rc", "a\nb\nc", "utf-8"),
    ],
)
def test_a_text_is_decoded_whatever_it_is_in(content: bytes, text: str, encoding: str) -> None:
    assert decoded(content) == (text, encoding)


@given(st.binary(max_size=300), st.text(max_size=20))
def test_whatever_the_bytes_there_is_a_text(content: bytes, declared: str) -> None:
    text, _ = decoded(content, declared=declared)

    assert "\r" not in text


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\ufeff"), min_size=1))
def test_markdown_stays_to_the_letter(text: str) -> None:
    found = parts(text.encode(), kinds.MARKDOWN)

    assert "".join(part.text for part in found) == text
    assert list(blocks_in(found)) == blocks_of(text)


@given(
    st.lists(
        st.one_of(
            st.builds(paragraph, st.text(min_size=1).filter(str.strip), page=st.integers(1, 9) | st.none()),
            st.builds(heading, st.text(min_size=1).filter(str.strip), level=st.integers(0, 9)),
        ),
        min_size=1,
    ),
    st.integers(4, 60),
)
@settings(max_examples=50)
def test_nothing_of_the_parts_is_lost_by_cutting_them(found: list[Part], limit: int) -> None:
    text = "".join(part.text for part in found)

    pieces = split(text, blocks=list(blocks_in(found)), limit=limit)

    assert "".join(piece.text for piece in pieces) == text
    assert [from_wire(as_wire(part)) for part in found] == found


@pytest.mark.parametrize(
    "sent", [None, {}, ["paragraph"], ["evil", "x", 0, "", None], ["paragraph", "", 0, "", None], ["code", 7, 0, "", 1],
             ["heading", "x", 10**9, "t", 1], ["heading", "x", 1, "t", -1]]
)  # fmt: skip
def test_what_no_reader_sends_is_no_part(sent: Any) -> None:
    with pytest.raises(ValueError, match="not a part"):
        from_wire(sent)


def test_a_pdf_gives_its_text_with_pages_and_sections(reading: Reading) -> None:
    content = pdf(
        "Deployment\nBefore every deployment, back up the database and check\nthat the rollback works.\nShort.",
        "Rollback (plan B)\nRestore the backup.",
        title="Guide",
        outline=True,
    )

    found = reading(content, kind=kinds.PDF)

    assert texts(found.parts) == [
        "# Deployment",
        "Before every deployment, back up the database and check that the rollback works.",
        "Short.",
        "# Rollback (plan B)",
        "Restore the backup.",
    ]
    assert [part.page for part in found.parts] == [1, 1, 1, 2, 2]
    assert (found.title, found.pages, found.page, found.textless_pages) == ("Guide", 2, 2, 0)


def test_pages_without_text_are_counted(reading: Reading) -> None:
    assert reading(pdf("One", "", "Three"), kind=kinds.PDF).textless_pages == 1


def test_lines_of_a_page_become_paragraphs_again() -> None:
    page = (
        "部署之前先备份数据库，然后检查回滚脚\n本是否可用，确认所有的服务都已经停止\n再开始。\n"
        "The responsi\x02\nbilities of a well\x02known team are shared\nby all.\n- one\n- two\n\nlast"
    )

    assert list(paragraphs(page)) == [
        "部署之前先备份数据库，然后检查回滚脚本是否可用，确认所有的服务都已经停止再开始。",
        "The responsibilities of a well-known team are shared by all.",
        "- one",
        "- two",
        "last",
    ]


HTML = """<!doctype html><html><head><title>The  guide</title><style>p{color:red}</style><script>evil()</script></head>
<body><nav>Home</nav><h1>Deploy <em>now</em></h1><p>First
line.<br>Second &amp; last.</p><ul><li>one<li>two <b>bold</b></ul>
<pre>def x():
    pass</pre><table><caption>Ports</caption><tr><th>name<th>port<tr><td>web<td>3000|1</table>
<p hidden>secret</p><div style="display: none">also</div><template>t</template><img src="http://127.0.0.1:1/x" alt="A map">
<table><tr><td><table><tr><td>inner</td></tr></table></td><td>outer</td></tr></table>tail</body></html>"""


def test_html_gives_what_a_reader_sees(reading: Reading) -> None:
    found = reading(HTML.encode(), kind=kinds.HTML)

    assert texts(found.parts) == [
        "# Deploy now",
        "First line.\nSecond & last.",
        "- one",
        "- two bold",
        "```\ndef x():\n    pass\n```",
        "Ports",
        "| name | port |\n| --- | --- |\n| web | 3000\\|1 |",
        "[A map]",
        "| inner |\n| --- |",
        "outer",
        "tail",
    ]
    assert found.title == "The guide"


def test_html_says_its_encoding_itself() -> None:
    content = '<html><head><meta charset="gb2312"></head><p>部署之前</p></html>'.encode("gb2312")

    assert texts(parts(content, kinds.HTML)) == ["部署之前"]


def write_report(document: Word) -> None:
    document.add_heading("季度报告", 1)
    document.add_paragraph("Revenue grew.")
    document.add_heading("Figures", 2)
    cells = document.add_table(2, 2)
    cells.cell(0, 0).text, cells.cell(0, 1).text, cells.cell(1, 0).text = "name", "value", "a|b"
    page_was_broken(document.add_paragraph("On page two."))


def test_a_word_document_gives_headings_tables_and_pages(reading: Reading) -> None:
    found = reading(word(write_report, title="Report"), kind=kinds.DOCX)

    assert texts(found.parts) == [
        "# 季度报告",
        "Revenue grew.",
        "## Figures",
        "| name | value |\n| --- | --- |\n| a\\|b |  |",
        "On page two.",
    ]
    assert (found.title, found.pages) == ("Report", 2)


def test_a_table_of_nothing_is_none() -> None:
    assert table([["", " "], []]) is None
    assert table([["a"], ["b", "c"]]) == Part("table", "| a |  |\n| --- | --- |\n| b | c |\n\n")
