"""Taking a person's files and folders into memory, from the command line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from memory.documents import accepting, kinds, working
from memory.models import Document
from openintern.errors import OpenInternError
from openintern.folders import Found, is_private, read_plain_file, survey
from openintern.tenancy.arguments import add_scope_arguments, scope_from
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope, org_scope

SHOWN = 20
_LOOK_SECONDS = 0.5


class Command(BaseCommand):
    help = "Remember documents: PDF, DOCX, HTML, Markdown and text files, and those in folders. Again: what changed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files and folders")
        add_scope_arguments(parser)

    def handle(self, *args: Any, paths: list[Path], **options: Any) -> None:
        scope = scope_from(options)
        if not allows(scope.role, "document", "create"):
            raise CommandError(f"{scope.user.username} may only look")
        try:
            found = list(survey(paths, except_in=_own_folders(), refuse=_refusal))
        except FileNotFoundError as error:
            raise CommandError(f"No such file or folder: {error.filename}") from error
        named = {path.resolve() for path in paths}
        with self._screen(len(found)) as screen:
            for each in found:
                screen.tell(each.path, _taken(scope, each, is_named=each.source in named))
        self.stdout.write(screen.summary())
        if screen.failed:
            raise CommandError(f"{screen.failed} of {len(found)} could not be read")

    @contextmanager
    def _screen(self, total: int) -> Iterator[Screen]:
        """A bar for people at a terminal; a line for each document where the output is piped."""
        console = Console(file=cast(IO[str], self.stdout), highlight=False, soft_wrap=True)
        with Progress(
            TextColumn("Remembering"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console, disable=not console.is_terminal, transient=True,
        ) as bar:  # fmt: skip
            yield Screen(console, bar, total)


class Screen:
    """What is told of each document, and of all of them in the end."""

    def __init__(self, console: Console, bar: Progress, total: int) -> None:
        self._console, self._bar = console, bar
        self._task = bar.add_task("", total=total)
        self._outcomes: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._passages = 0

    @property
    def failed(self) -> int:
        """How many could not be read."""
        return self._outcomes["failed"]

    def tell(self, path: str, outcome: Outcome) -> None:
        """Write a line, unless it is the twenty-first of what was left out."""
        word, detail, passages = outcome
        self._bar.advance(self._task)
        self._outcomes[word] += 1
        self._passages += passages
        if word == "skipped":
            self._skipped[detail] += 1
            if self._outcomes[word] > SHOWN:
                return
        line = f"{word:<9} {path}" + (f": {detail}" if detail else "")
        self._console.print(line, markup=False)

    def summary(self) -> str:
        """Say how much came of it."""
        told = [f"{count:,} {word}" for word, count in self._outcomes.items()]
        more = self._outcomes["skipped"] - SHOWN
        reasons = (
            f" ({', '.join(f'{count} {reason}' for reason, count in self._skipped.most_common(5))})" if more > 0 else ""
        )
        return f"{', '.join(told) or 'Nothing there'}; {self._passages:,} passages{reasons}"


Outcome = tuple[str, str, int]  # a word, what else to say, passages


def _taken(scope: Scope, found: Found, *, is_named: bool) -> Outcome:
    """Take one file in, and stay until it is read."""
    if found.reason:
        return "skipped", found.reason, 0
    if not is_named and found.source.suffix.lower().lstrip(".") not in kinds.ENDINGS:
        return "skipped", "not a document", 0
    try:
        content = read_plain_file(found.source, most=accepting.MAX_BYTES)
        with org_scope(scope.org):
            owner = "user" if scope.project is None else "project"
            accepted = accepting.accept(scope, content=content, name=found.path, owner=owner)
            if accepted.outcome == "unchanged" and accepted.document.is_final:
                return "unchanged", "", 0
            return _read(accepted.document, word="read" if accepted.outcome == "new" else accepted.outcome)
    except OpenInternError as refusal:
        return ("failed" if is_named else "skipped"), refusal.message, 0
    except OSError as error:
        return "failed", error.strerror or "can't be read", 0


def _read(document: Document, *, word: str) -> Outcome:
    """Read a document here, unless a reader has it already; then wait for that one."""
    working.read_next(document_id=document.pk)
    while not (document := Document.objects.get(pk=document.pk)).is_final:
        time.sleep(_LOOK_SECONDS)
        working.read_next(document_id=document.pk)  # that reader may have died
    if document.state == Document.State.FAILED:
        return "failed", str(Document.Problem(document.problem).label), 0
    passages = document.passages or 0
    pages = f"{document.pages} pages, " if document.pages else ""
    textless = f", {document.textless_pages} pages without text" if document.textless_pages else ""
    return word, f"{pages}{passages} passages{textless}", passages


def _own_folders() -> list[Path]:
    return [settings.CONFIG.server.base_dir, settings.CONFIG.agent.work_dir]


def _refusal(path: str) -> str:
    return "private" if is_private(path.rpartition("/")[2]) else ""
