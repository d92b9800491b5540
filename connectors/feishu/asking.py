"""How Feishu is asked: a request of the official SDK, sent by our guarded client, within bounds.

An address is judged again at each connection. What passes is tried again after a pause that grows; a token that is
refused is fetched anew, once. Tokens are kept in this process alone, for the connector and secret they were given for.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx
from django.db import connection

from connectors.feishu.answers import TOKEN_REFUSED, BadAnswer, Busy, Denied, check, passes
from connectors.models import Connector
from openintern import outgoing
from openintern.redaction import learn
from openintern.secret_store import Unreadable

if TYPE_CHECKING:
    from lark_oapi.core.model import BaseRequest

MAX_BYTES: Final = 20 * 1024 * 1024
CALL_SECONDS: Final = 20.0
SESSION_SECONDS: Final = 180.0
MOST_TRIES: Final = 4
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 3.0
_MARGIN: Final = 60.0  # seconds before its end that a token isn't used any more
_TOKEN_PATH: Final = "/open-apis/auth/v3/tenant_access_token/internal"  # noqa: S105  a path
_RESET: Final = "x-ogw-ratelimit-reset"


class Asker:
    """Asks in the name of one connector. `before_each` is called before every request; it may raise to stop it all."""

    def __init__(self, connector: Connector, client: httpx.Client, before_each: Callable[[], None]) -> None:
        self._connector = connector
        self._client = client
        self._before_each = before_each

    def ask(self, request: BaseRequest) -> dict[str, Any]:
        """Return the data that the request is answered with. Raises Busy, Denied, Refusal."""
        body = _body_of(request)
        for is_last in (False, True):
            status, answer = self._patiently(
                request.http_method.name, _path_of(request), params=request.queries, body=body, token=self._token()
            )
            if status != 401 and answer.get("code") not in TOKEN_REFUSED:
                return check(status, answer)
            tokens.drop(self._connector)
            if is_last:
                break
        raise Denied("FEISHU_TOKEN_REFUSED", "Feishu refuses the token that it has just given")

    def _token(self) -> str:
        if known := tokens.get(self._connector):
            return known
        try:
            secret = self._connector.app_secret.reveal()
        except Unreadable as error:
            raise Denied("FEISHU_SECRET_UNREADABLE", str(error)) from error
        body = json.dumps({"app_id": self._connector.app_id, "app_secret": secret}).encode()
        status, answer = self._patiently("POST", _TOKEN_PATH, body=body)
        token, seconds = answer.get("tenant_access_token"), answer.get("expire", 7200)
        if answer.get("code") != 0 or not isinstance(token, str) or not token.isascii() or not 0 < len(token) < 4000:
            code = answer.get("code")
            shown = code if isinstance(code, int) else "none"
            raise Denied(
                "FEISHU_CREDENTIALS_REFUSED", f"Feishu refuses the app id or secret (HTTP {status}, code {shown})"
            )
        learn(token)
        tokens.put(self._connector, token, seconds=float(seconds) if isinstance(seconds, int) else 7200.0)
        return token

    def _patiently(self, method: str, path: str, **sent: Any) -> tuple[int, dict[str, Any]]:
        """Ask, and ask again where it passes. Raises Busy when that was of no use."""
        pause = FIRST_PAUSE
        for tries_left in reversed(range(MOST_TRIES)):
            self._before_each()
            try:
                return self._once(method, path, **sent)
            except Busy as busy:
                if not tries_left or busy.after > LONGEST_PAUSE:
                    raise
                time.sleep(min(max(pause, busy.after), LONGEST_PAUSE))
                pause *= 2
        raise AssertionError("the last try returns or raises")

    def _once(
        self, method: str, path: str, *, params: Any = None, body: bytes | None = None, token: str = ""
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            with self._client.stream(
                method, self._connector.base_url + path, params=params, content=body, headers=headers
            ) as response:
                answer = _answer(response)
                _raise_if_it_passes(response, answer)
                return response.status_code, answer
        except httpx.TimeoutException as error:
            raise Busy("Feishu doesn't answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if refused := _refused_by_us(error):
                raise Denied("FEISHU_ADDRESS_REFUSED", refused) from error
            raise Busy("Feishu can't be reached, or cuts its answer short") from error


@contextmanager
def asker(connector: Connector, *, before_each: Callable[[], None] = lambda: None) -> Iterator[Asker]:
    """Yield who asks for the connector, over connections that end with the block."""
    try:
        outgoing.check_url(connector.base_url)
    except outgoing.Unreachable as error:
        raise Denied("FEISHU_ADDRESS_REFUSED", str(error)) from error
    with outgoing.client(within=SESSION_SECONDS) as client:
        client.timeout = httpx.Timeout(CALL_SECONDS, connect=outgoing.CONNECT_SECONDS)
        yield Asker(connector, client, before_each)


class Tokens:
    """Tenant tokens by connector, address, app and secret: another secret has another token."""

    def __init__(self, *, most: int = 200) -> None:
        self._most = most
        self._kept: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, connector: Connector) -> str:
        """Return a token that holds for a while yet, or ""."""
        with self._lock:
            token, ends_at = self._kept.get(_key(connector), ("", 0.0))
            return token if ends_at > time.monotonic() else ""

    def put(self, connector: Connector, token: str, *, seconds: float) -> None:
        """Keep a token that holds for `seconds`."""
        with self._lock:
            self._kept[_key(connector)] = (token, time.monotonic() + min(seconds, 7200.0) - _MARGIN)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def drop(self, connector: Connector) -> None:
        """Forget a token that was refused."""
        with self._lock:
            self._kept.pop(_key(connector), None)


tokens = Tokens()


def _key(connector: Connector) -> str:
    told = (
        connection.schema_name,  # type: ignore[attr-defined]
        connector.pk,
        connector.base_url,
        connector.app_id,
        connector.app_secret.token,
    )
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _path_of(request: BaseRequest) -> str:
    """The path with its parameters in it, each as one step: what an answer named leads nowhere else."""
    path = str(request.uri)
    for name, value in request.paths.items():
        path = path.replace(f":{name}", quote(str(value), safe=""))
    return path


def _body_of(request: BaseRequest) -> bytes | None:
    if request.body is None:
        return None
    from lark_oapi.core.json import JSON  # noqa: PLC0415  the SDK takes seconds to import

    text: str = JSON.marshal(request.body)
    return text.encode()


def _answer(response: httpx.Response) -> dict[str, Any]:
    """Read an answer, as far as there is sense in it. Raises BadAnswer, Busy."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise BadAnswer("it is packed, which was not asked for")
    ends_at = time.monotonic() + CALL_SECONDS
    content = bytearray()
    for piece in response.iter_raw():
        content += piece
        if len(content) > MAX_BYTES:
            raise BadAnswer(f"it is larger than {MAX_BYTES // 1024 // 1024} MiB")
        if time.monotonic() > ends_at:
            raise Busy("Feishu doesn't finish its answer in time")
    try:
        answer = json.loads(bytes(content))
    except (ValueError, RecursionError) as error:
        if response.status_code in (401, 429) or response.status_code >= 500:
            return {}
        raise BadAnswer(f"it is no JSON (HTTP {response.status_code})") from error
    if not isinstance(answer, dict):
        raise BadAnswer("it is no object")
    return answer


def _raise_if_it_passes(response: httpx.Response, answer: dict[str, Any]) -> None:
    code = answer.get("code")
    if passes(response.status_code, code):
        told = (
            f"Feishu can't answer now (HTTP {response.status_code}, code {code if isinstance(code, int) else 'none'})"
        )
        raise Busy(told, after=_seconds(response))


def _seconds(response: httpx.Response) -> float:
    text = response.headers.get(_RESET) or response.headers.get("retry-after") or ""
    return min(float(text), 3600.0) if text.isascii() and text.isdigit() else 0.0


def _refused_by_us(error: BaseException | None) -> str:
    """What our own client said against the address, if that is why."""
    while error is not None:
        if isinstance(error, outgoing.Unreachable) and "public" in str(error):
            return str(error)
        error = error.__cause__
    return ""
