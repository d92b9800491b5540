"""One Feishu document into memory at once, because an agent asks for it: through a connector of the project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from connectors import connecting
from connectors.feishu import config, requests
from connectors.feishu.answers import Busy, Denied, Refusal
from connectors.feishu.asking import Asker, asker
from connectors.feishu.reading import Said, docx
from connectors.feishu.values import is_token
from connectors.models import Connector, Source
from memory.chunking import Sizes
from memory.documents.ingesting import Source as Origin
from memory.documents.ingesting import ingest
from memory.documents.parts import Unreadable
from memory.models import Memory
from memory.owners import Owner
from openintern.errors import OpenInternError
from openintern.tenancy.scope import Scope

_KINDS: Final = ("docx", "doc", "docs", "wiki")
_KEY: Final = re.compile(r"[\w:./-]{1,200}")


@dataclass(frozen=True)
class Wanted:
    """A document by its token or address, and how it is to be kept. `shared`: by the project, else one's own."""

    token: str = ""
    url: str = ""
    title: str = ""
    source_key: str = ""
    chunking: Mapping[str, Any] | None = None
    shared: bool = True
    metadata: Mapping[str, Any] | None = None


def take_in(scope: Scope, wanted: Wanted) -> dict[str, Any]:
    """Remember a document as it is now; return what came of it. Raises OpenInternError with a code that says why not."""
    kind, token = _named(wanted)
    connector = _connector(scope)
    sizes = _sizes(wanted.chunking or {})
    if wanted.shared and scope.project is None:
        raise OpenInternError("FEISHU_PROJECT_REQUIRED", "Only in a project can a document be shared by it")
    try:
        with asker(connector) as asking:
            document = _document_behind(asking, token) if kind == "wiki" else token
            said = docx.read(asking, Source(token=document, title=wanted.title), {})
    except (Refusal, Denied, Busy) as error:
        raise OpenInternError("FEISHU_REFUSED", f"The document can't be had: {error}") from error
    if said is None or all(part.kind == "heading" for part in said.parts):
        raise OpenInternError("FEISHU_EMPTY", "There is no text in this document")
    return _remembered(scope, wanted, document, said, sizes)


def _named(wanted: Wanted) -> tuple[str, str]:
    """The kind and the token of what is wanted."""
    kind, token = "docx", wanted.token.strip()
    if not token and not wanted.url.strip():
        raise OpenInternError("FEISHU_DOC_TOKEN_REQUIRED", "Say which document: doc_token or doc_url")
    if not token:
        steps = [step for step in urlsplit(wanted.url.strip()).path.split("/") if step]
        place = next((at for at, step in enumerate(steps[:-1]) if step in _KINDS), len(steps) - 2)
        kind, token = (steps[place], steps[place + 1]) if len(steps) > 1 else ("docx", steps[0] if steps else "")
    if not is_token(token):
        raise OpenInternError("FEISHU_DOC_URL_INVALID", "There is no token of a document in this")
    return kind, token


def _connector(scope: Scope) -> Connector:
    rows = connecting.connectors(scope).filter(status=Connector.Status.ACTIVE)
    found = next((each for each in rows if each.is_able), None)
    if found is None:
        raise OpenInternError("FEISHU_DISABLED", "Feishu isn't set up here: an admin adds a connector to the project")
    return found


def _sizes(chunking: Mapping[str, Any]) -> Sizes:
    try:
        told = config.checked({"chunking": dict(chunking)})["chunking"]
    except OpenInternError as error:
        raise OpenInternError("FEISHU_CHUNKING_INVALID", error.message) from error
    return Sizes(told["target_tokens"], told["max_tokens"], told["min_tokens"], of=len)


def _document_behind(asking: Asker, token: str) -> str:
    node = asking.ask(requests.node(token)).get("node")
    document = node.get("obj_token") if isinstance(node, dict) and node.get("obj_type") == "docx" else None
    if not is_token(document):
        raise Refusal("NO_DOCUMENT", "This wiki page is no document")
    return document


def _remembered(scope: Scope, wanted: Wanted, document: str, said: Said, sizes: Sizes) -> dict[str, Any]:
    owner = Owner.of_project(scope.project) if wanted.shared and scope.project else Owner.of_user(scope.user)
    key = _key(wanted.source_key, document)
    everything: Any = Memory.objects
    is_known = everything.of(owner).current().filter(source_key=key).exists()
    title = wanted.title or said.title
    about = {**(wanted.metadata or {}), "title": title, "token": document, "revision": said.revision}
    try:
        memory = ingest(
            owner=owner,
            parts=said.parts,
            source=Origin(key, title or key, "feishu_docx", about, scope.user, 0.9),
            sizes=sizes,
        )
    except Unreadable as error:
        raise OpenInternError("FEISHU_SECRETS", "It holds what looks like a secret; nothing was kept") from error
    return {
        "memory_id": str(memory.pk),
        "source_key": key,
        "document_id": document,
        "revision_id": said.revision,
        "title": title,
        "chunk_count": memory.passages.count(),
        "content_hash": sha256(memory.text.encode()).hexdigest(),
        "replaced": is_known,
    }


def _key(given: str, document: str) -> str:
    """A key that was given takes no other source's place: those of connectors begin otherwise."""
    if not given or given == f"docx:{document}":
        return f"docx:{document}"
    if not _KEY.fullmatch(given):
        raise OpenInternError("VALIDATION_ERROR", "source_key: letters, digits and : . / - alone, 200 at most")
    return f"feishu:{given}"
