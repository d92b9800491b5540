"""What a source says, as parts: asked for by revision, so that what didn't change isn't downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.feishu.asking import Asker
from connectors.feishu.reading import bitable, docx, sheet
from connectors.feishu.reading.said import Said
from connectors.models import Source

__all__ = ["Said", "read"]


def read(asker: Asker, source: Source, config: Mapping[str, Any]) -> Said | None:
    """Return what the source says now; None where its revision is the one that was read. Raises Busy, Denied, Refusal."""
    match source.kind:
        case Source.Kind.DOCX:
            return docx.read(asker, source, config)
        case Source.Kind.SHEET:
            return sheet.read(asker, source, config)
        case Source.Kind.BITABLE:
            return bitable.read(asker, source, config)
    raise ValueError(source.kind)
