"""MinerU's API, version 4. What it says is somebody else's text: bounded, typed, never trusted with an address.

Every address that it names (where to put a file, where a result lies) is reached by the guarded client, so that none leads
into our own network. A key with a dot is a token; any other is exchanged for one, kept until a minute before it ends.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Any, Final
from urllib.parse import quote, urljoin

import httpx

from connectors.mineru.refusals import Busy, Refused
from openintern import redaction
from openintern.configuration import Mineru
from openintern.outgoing import Unreachable, check_url, client

MOST_ZIP_BYTES: Final = 256 * 1024 * 1024
_MOST_ANSWER: Final = 1024 * 1024
_TRANSFER_SECONDS: Final = 600.0
_MOST_REDIRECTS: Final = 5
_PIECE: Final = 64 * 1024
_BAD_TOKEN: Final = {"A0202", "A0211"}
_STATES: Final = {
    "done": "done", "success": "done", "completed": "done", "failed": "failed", "error": "failed"
}  # fmt: skip

#: Called while bytes go over the wire; what it raises ends that.
Keep = Callable[[], None]
_tokens: dict[str, tuple[str, float]] = {}


@dataclass(frozen=True)
class Progress:
    """How far the service is with a document: `state` is `running`, `done` or `failed`."""

    state: str
    zip_url: str = ""
    problem: str = ""
    pages: int | None = None
    pages_read: int = 0


class Service:
    """One account. Raises Busy for what is worth another try, Refused for what isn't."""

    def __init__(self, config: Mineru) -> None:
        self._config = config
        redaction.learn(config.api_key)
        redaction.learn(config.uid_token)

    def begin_url(self, url: str, *, options: dict[str, Any], data_id: str) -> str:
        """Have a PDF of the web read; return the task's id."""
        told = self._ask("POST", "/extract/task", {"url": url, "data_id": data_id, **options})
        return _required(told, "task_id")

    def begin_file(
        self, file: IO[bytes], *, name: str, size: int, options: dict[str, Any], data_id: str, keep: Keep
    ) -> str:
        """Send a PDF and have it read; return the batch's id."""
        about = {"name": name, "data_id": data_id, "is_ocr": options.get("is_ocr", False)}
        if "page_ranges" in options:
            about["page_ranges"] = options["page_ranges"]
        shared = {key: value for key, value in options.items() if key not in {"is_ocr", "page_ranges"}}
        told = self._ask("POST", "/file-urls/batch", {"files": [about], **shared})
        urls = told.get("file_urls")
        if not isinstance(urls, list) or not urls or not isinstance(urls[0], str):
            raise Refused("MINERU_FAILED", "The service named no address to send the file to")
        batch_id = _required(told, "batch_id")
        _put(urls[0], file, size=size, keep=keep)
        return batch_id

    def look(self, *, task_id: str = "", batch_id: str = "", data_id: str = "", name: str = "") -> Progress:
        """Ask how far a document is."""
        if task_id:
            return _progress(self._ask("GET", f"/extract/task/{quote(task_id, safe='')}"))
        told = self._ask("GET", f"/extract-results/batch/{quote(batch_id, safe='')}").get("extract_result")
        rows = [row for row in told if isinstance(row, dict)] if isinstance(told, list) else []
        for key, value in (("data_id", data_id), ("file_name", name)):
            for row in rows:
                if row.get(key) == value:
                    return _progress(row)
        return _progress(rows[0]) if rows else Progress("running")

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the `data` of an answer. A token that is refused is had anew, once."""
        for is_last in (False, True):
            code, message, data = self._answer(method, path, body, headers=self._headers())
            if code in {0, "0"}:
                return data
            if code in _BAD_TOKEN and not is_last and not self._is_token:
                _tokens.pop(self._account, None)
                continue
            raise Refused("MINERU_FAILED", f"The service answered {code}: {message}"[:300])
        raise AssertionError("unreachable")

    def _answer(
        self, method: str, path: str, body: dict[str, Any] | None, *, headers: dict[str, str]
    ) -> tuple[Any, str, dict[str, Any]]:
        url = self._config.base_url.rstrip("/") + path
        try:
            with (
                client(within=self._config.timeout_ms / 1000) as session,
                session.stream(method, check_url(url), json=body, headers=headers) as response,
            ):
                status, content = response.status_code, _read(response)
        except (httpx.HTTPError, httpx.InvalidURL, Unreachable, UnicodeError) as error:
            raise Busy(f"The service can't be reached: {error}"[:300]) from error
        return _understood(status, content)

    def _headers(self) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._token()}"}
        return headers | ({"token": self._config.uid_token} if self._config.uid_token else {})

    @property
    def _is_token(self) -> bool:
        key = self._config.api_key
        return "." in key and not key.startswith(("ak", "sk"))

    @property
    def _account(self) -> str:
        return sha256(f"{self._config.base_url} {self._config.api_key}".encode()).hexdigest()

    def _token(self) -> str:
        if self._is_token:
            return self._config.api_key
        token, ends_at = _tokens.get(self._account, ("", 0.0))
        if time.monotonic() < ends_at:
            return token
        return self._exchange()

    def _exchange(self) -> str:
        key = self._config.api_key
        path, name = ("/token/get_token_by_sk", "sk") if key.startswith("sk-") else ("/token/get_token", "ak")
        code, message, data = self._answer("POST", path, {name: key}, headers={})
        if code not in {0, "0"}:
            raise Refused("MINERU_FAILED", f"The key was refused ({code}): {message}"[:300])
        token, seconds = _required(data, "token"), data.get("expire")
        redaction.learn(token)
        lasts = float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else 3600.0
        _tokens[self._account] = (token, time.monotonic() + max(lasts - 60, 0))
        return token


def download(url: str, into: IO[bytes], *, keep: Keep) -> None:
    """Fetch a result, redirects and all, each judged anew. Raises Refused for what is too large or leads inside."""
    try:
        for _ in range(_MOST_REDIRECTS + 1):
            with client(within=_TRANSFER_SECONDS) as session, session.stream("GET", check_url(url)) as response:
                if response.is_redirect and "location" in response.headers:
                    url = urljoin(url, response.headers["location"])
                    continue
                if response.status_code >= 500 or response.status_code == 429:
                    raise Busy(f"The result can't be had yet: {response.status_code}")
                if response.status_code != 200:
                    raise Refused("MINERU_RESULT_MISSING", f"The result can't be had: {response.status_code}")
                _save(response, into, keep=keep)
                return
    except Unreachable as error:
        raise Refused("MINERU_RESULT_MISSING", f"The result's address is refused: {error}") from error
    except httpx.ConnectError as error:
        if "not a public address" in str(error):
            raise Refused("MINERU_RESULT_MISSING", f"The result's address is refused: {error}") from error
        raise Busy(f"The result can't be reached: {error}"[:300]) from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise Busy(f"The result can't be reached: {error}"[:300]) from error
    raise Refused("MINERU_RESULT_MISSING", "The result's address leads round in circles")


def _save(response: httpx.Response, into: IO[bytes], *, keep: Keep) -> None:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Refused("MINERU_ZIP_REFUSED", "The result is packed twice")
    size = 0
    for piece in response.iter_raw():
        size += len(piece)
        if size > MOST_ZIP_BYTES:
            raise Refused("MINERU_ZIP_REFUSED", f"The result has more than {MOST_ZIP_BYTES // 1024 // 1024} MiB")
        into.write(piece)
        keep()


def _put(url: str, file: IO[bytes], *, size: int, keep: Keep) -> None:
    def pieces() -> Iterator[bytes]:
        while piece := file.read(_PIECE):
            yield piece
            keep()

    try:
        with client(within=_TRANSFER_SECONDS) as session:
            response = session.put(check_url(url), content=pieces(), headers={"Content-Length": str(size)})
    except Unreachable as error:
        raise Refused("MINERU_FAILED", f"The address to send the file to is refused: {error}") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise Busy(f"The file can't be sent: {error}"[:300]) from error
    if response.status_code >= 500 or response.status_code == 429:
        raise Busy(f"The file wasn't taken: {response.status_code}")
    if not response.is_success:
        raise Refused("MINERU_FAILED", f"The file wasn't taken: {response.status_code}")


def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    for piece in response.iter_raw():
        content += piece
        if len(content) > _MOST_ANSWER:
            raise Refused("MINERU_FAILED", "The service's answer is too long")
    return bytes(content)


def _understood(status: int, content: bytes) -> tuple[Any, str, dict[str, Any]]:
    if status >= 500 or status == 429:
        raise Busy(f"The service answered {status}")
    try:
        told = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused("MINERU_FAILED", f"The service answered {status} and something that is no JSON") from error
    if not isinstance(told, dict):
        raise Refused("MINERU_FAILED", "The service's answer isn't an object")
    code = told.get("code", told.get("msgCode", 0 if status == 200 else status))
    data = told.get("data")
    return (
        code if isinstance(code, int | str) else -1,
        str(told.get("msg", ""))[:200],
        data if isinstance(data, dict) else {},
    )


def _progress(told: dict[str, Any]) -> Progress:
    """What is said of a document; a state that isn't known is one that isn't the last."""
    pages = told.get("extract_progress")
    counts = pages if isinstance(pages, dict) else {}
    url = told.get("full_zip_url")
    return Progress(
        _STATES.get(str(told.get("state", "")).lower(), "running"),
        zip_url=url if isinstance(url, str) else "",
        problem=str(told.get("err_msg") or "")[:300],
        pages=_count(counts.get("total_pages")),
        pages_read=_count(counts.get("extracted_pages")) or 0,
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def _required(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 4000:
        raise Refused("MINERU_FAILED", f"The service's answer has no {name}")
    return value
