"""How fast documents come in: from the file to the commit from which on words find them."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from django.conf import settings

from memory.bench.scale import Author
from memory.documents import accepting, working
from memory.models import Document
from openintern.bench.figures import Figure
from openintern.bench.suites import Options, suite
from openintern.tenancy.scope import org_scope

_PARAGRAPHS = 10  # in a section
_SECTIONS = 12
_CHINESE = "部署之前先备份数据库，然后检查回滚脚本是否可用，确认所有的服务都已经停止，再开始进行操作。"


@dataclass(frozen=True)
class _Batch:
    name: str
    ending: str
    documents: list[bytes]


@suite("documents")
def measure(options: Options) -> Iterator[Figure]:
    """Send, read and write whole batches; each in the organisation of the bench, as `manage.py ingest` does."""
    count = 8 if options.quick else 40
    author = Author()
    batches = [
        _Batch("Markdown", "md", [_markdown(author).encode() for _ in range(count)]),
        _Batch("Chinese text", "txt", [(_CHINESE * 40 + f"{number}\n\n").encode() * 3 for number in range(count)]),
        _Batch("HTML", "html", [_html(author).encode() for _ in range(count)]),
        _Batch("one long Markdown", "md", ["\n\n".join(_markdown(author) for _ in range(count)).encode()]),
    ]
    with _own_files(), org_scope(options.scope.org):
        for batch in batches:
            yield _timed(options, batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield Figure(name="peak memory of the process", value=peak, unit="MiB", bar=512, enforced=True)


def _timed(options: Options, batch: _Batch) -> Figure:
    begun, computed, passages = time.perf_counter(), time.process_time(), 0
    for number, content in enumerate(batch.documents):
        name = f"{batch.name}/{number}.{batch.ending}"
        accepted = accepting.accept(options.scope, content=content, name=name)
        working.read_next(document_id=accepted.document.pk)
        passages += Document.objects.get(pk=accepted.document.pk).passages or 0
    took, computed = time.perf_counter() - begun, time.process_time() - computed
    return Figure(
        name=f"passages of {batch.name}, searchable by words",
        value=passages / took,
        unit="a second",
        bar=200,
        more_is_better=True,
        note=f"{passages} passages of {len(batch.documents)} documents in {took:.1f} s, {computed:.1f} s of them computing",
    )


def _markdown(author: Author) -> str:
    return "\n\n".join(
        f"## {author.text(4)}\n\n" + "\n\n".join(author.text(80) for _ in range(_PARAGRAPHS)) for _ in range(_SECTIONS)
    )


def _html(author: Author) -> str:
    sections = (
        f"<h2>{author.text(4)}</h2>" + "".join(f"<p>{author.text(80)}</p>" for _ in range(_PARAGRAPHS))
        for _ in range(_SECTIONS)
    )
    return f"<!doctype html><html><body>{''.join(sections)}</body></html>"


@contextmanager
def _own_files() -> Iterator[None]:
    """Keep the bench's files out of the data directory."""
    before = settings.CONFIG
    with tempfile.TemporaryDirectory() as folder:
        settings.CONFIG = replace(before, server=replace(before.server, base_dir=Path(folder)))
        try:
            yield
        finally:
            settings.CONFIG = before
