"""Documents as people and attackers make them, made here."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import docx
from docx.oxml import OxmlElement


def pdf(*pages: str, title: str = "", outline: bool = False) -> bytes:
    """A PDF with a page for each text, a line for each line; each first line in the outline if wanted."""
    count = len(pages)
    first_page, first_content, first_mark = 4, 4 + count, 4 + 2 * count
    kids = " ".join(f"{first_page + index} 0 R" for index in range(count))
    marks = f" /Outlines {first_mark + count} 0 R" if outline else ""
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R{marks} >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    objects += [
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources << /Font << /F1 3 0 R >> >> "
        f"/Contents {first_content + index} 0 R >>"
        for index in range(count)
    ]
    for text in pages:
        lines = [line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") for line in text.split("\n")]
        drawn = "BT /F1 12 Tf 50 750 Td 14 TL " + " ".join(f"({line}) Tj T*" for line in lines if line) + " ET"
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    if outline:
        for index, text in enumerate(pages):
            following = f" /Next {first_mark + index + 1} 0 R" if index + 1 < count else ""
            name = text.split("\n")[0]
            objects.append(
                f"<< /Title ({name}) /Parent {first_mark + count} 0 R /Dest [{first_page + index} 0 R /Fit]{following} >>"
            )
        objects.append(f"<< /First {first_mark} 0 R /Last {first_mark + count - 1} 0 R /Count {count} >>")
    objects.append(f"<< /Title ({title}) >>")
    return assembled(objects, info=len(objects))


def assembled(objects: list[str], *, info: int = 0, trailer: str = "") -> bytes:
    """A PDF file of these objects, numbered from 1; the first is its catalogue."""
    out, at = io.BytesIO(), []
    out.write(b"%PDF-1.7\n")
    for number, content in enumerate(objects, 1):
        at.append(out.tell())
        out.write(f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1"))
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.write("".join(f"{offset:010} 00000 n \n" for offset in at).encode())
    told = f" /Info {info} 0 R" if info else ""
    out.write(
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R{told}{trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    )
    return out.getvalue()


def encrypted_pdf() -> bytes:
    """A PDF that asks for a password that nobody gave."""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [] /Count 0 >>",
        f"<< /Filter /Standard /V 1 /R 2 /O <{'41' * 32}> /U <{'42' * 32}> /P -4 >>",
    ]
    return assembled(objects, trailer=f" /Encrypt 3 0 R /ID [<{'43' * 16}> <{'43' * 16}>]")


def many_pages(count: int) -> bytes:
    """A small PDF that has very many pages: all of them the same object."""
    kids = "3 0 R " * count
    return assembled(
        [
            "<< /Type /Catalog /Pages 2 0 R >>",
            f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 10 10] >>",
        ]
    )


def word(write: Callable[[docx.document.Document], None], *, title: str = "") -> bytes:
    """A Word document, written by `write`."""
    document = docx.Document()
    document.core_properties.title = title
    write(document)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def page_was_broken(paragraph: docx.text.paragraph.Paragraph) -> None:
    """Leave in a paragraph what Word leaves where a page began when it last showed the document."""
    paragraph.runs[0]._r.insert(0, OxmlElement("w:lastRenderedPageBreak"))


def changed_zip(content: bytes, change: Callable[[zipfile.ZipFile], None], *, without: str = "") -> bytes:
    """The ZIP again, without one entry, and with what `change` adds."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            if entry.filename != without:
                new.writestr(entry, old.read(entry))
        change(new)
    return out.getvalue()
