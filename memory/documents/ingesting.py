"""The one way from parts to archival memory: whatever the source, whoever the reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings

from memory.chunking import Sizes, split
from memory.documents.parts import Part, Unreadable, blocks_in
from memory.models import Memory, Tier, Trust
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.redaction import redact_text
from openintern.tenancy.models import User
from openintern.text import storable


@dataclass(frozen=True)
class Source:
    """Where a document comes from. `key` is what it is replaced by; `name` is what people call it."""

    key: str
    name: str
    type: str
    metadata: dict[str, Any] = field(default_factory=dict)
    author: User | None = None
    importance: float = 0.5


def ingest(*, owner: Owner, parts: Sequence[Part], source: Source, sizes: Sizes | None = None) -> Memory:
    """Remember what a document says in place of what its source said before; one transaction, found by its words after.

    Every passage knows its section and its page. Secrets are left out. Nobody vouches for the text: it is from outside.
    """
    clean = [_cleaned(part) for part in parts]
    had_secrets = any(one.text != storable(part.text) for one, part in zip(clean, parts, strict=True))
    if had_secrets and settings.CONFIG.memory.refuses_secrets:
        raise Unreadable("secrets")
    text = "".join(part.text for part in clean)
    return remember(
        owner=owner,
        tier=Tier.ARCHIVAL,
        text=text,
        pieces=split(text, blocks=list(blocks_in(clean)), sizes=sizes),
        source_key=source.key,
        metadata=source.metadata,
        importance=source.importance,
        origin=Origin(
            author=source.author,
            document=source.name,
            source_type=source.type,
            trust=Trust.OUTSIDE,
            had_secrets=had_secrets,
        ),
    )


def _cleaned(part: Part) -> Part:
    """Return the part without secrets, and of characters that can be stored."""
    text, title = redact_text(storable(part.text)), redact_text(storable(part.title))
    return part if (text, title) == (part.text, part.title) else replace(part, text=text, title=title)
