"""What is rung when a sync or a PDF is further: whoever watches looks again. See `openintern.live.watch`."""

from __future__ import annotations

from typing import Final

from runs import log

SYNCS: Final = "syncs"
PDFS: Final = "pdfs"


def tell(name: str) -> None:
    """Ring whoever watches the organisation's syncs, or its PDFs: with the commit, or at once where none is to come."""
    log.notify(log.CHANNEL, name)
