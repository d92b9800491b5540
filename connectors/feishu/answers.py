"""What Feishu's answers mean: which are final, which pass, which are about us.

Codes are those of the open platform's lists: https://open.feishu.cn/document/server-docs/api-call-guide/generic-error-code
and of each API's page. Where a code is unknown the HTTP status decides.
"""

from __future__ import annotations

from typing import Any, Final

#: Our token isn't taken: missing, wrong, expired. A new one is fetched, once.
TOKEN_REFUSED: Final = frozenset({99991661, 99991663, 99991664, 99991665, 99991668, 99991671, 99991677})
#: Too much at once, or not now.
PASSES: Final = frozenset({
    99991400, 11232, 90001, 1061045, 1254290, 1254291, 1254607, 1255001, 1255040, 1310217, 1310235, 2200, 1770020,
    230020, 230049,
})  # fmt: skip
GONE: Final = frozenset({1770002, 1770003, 1061003, 1061007, 131005, 1254040, 1254041, 91402, 1310214, 1310215})
FORBIDDEN: Final = frozenset({1770032, 1061004, 131006, 91403, 1254302, 1254304, 1310213})
#: The app lacks a right of its own, for whatever it asks; what is known is kept until somebody has looked.
APP_LACKS: Final = frozenset({99991672, 99991679})
#: The version that was asked for isn't to be had any more.
TOO_OLD: Final = 1770021


class Refusal(Exception):
    """What was asked for isn't to be had. The message is fit for people; it holds nothing of the other side's but numbers."""

    def __init__(self, problem: str, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.problem = problem
        self.code = code


class Gone(Refusal):
    """It isn't there any more."""

    def __init__(self, code: int) -> None:
        super().__init__("GONE", "It isn't there any more", code=code)


class Forbidden(Refusal):
    """The app may not see it, or not any more."""

    def __init__(self, code: int) -> None:
        super().__init__("FORBIDDEN", "The app may not see it", code=code)


class BadAnswer(Refusal):
    """The answer isn't what this question is answered with."""

    def __init__(self, what: str) -> None:
        super().__init__("BAD_ANSWER", f"The answer can't be used: {what}")


class Denied(Exception):
    """Nothing more can be asked: `code` is ours, the message is fit for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Busy(Exception):
    """Not now: the network, too many requests, an error that passes. `after` are seconds that it asks us to wait."""

    def __init__(self, message: str, *, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


def passes(status: int, code: Any) -> bool:
    """Whether the same question may be answered in a while."""
    return code in PASSES or status == 429 or status >= 500


def check(status: int, answer: dict[str, Any]) -> dict[str, Any]:
    """Return the data of an answer that doesn't pass. Raises Denied, Refusal for anything that isn't a success."""
    code = answer.get("code")
    if not isinstance(code, int) or isinstance(code, bool):
        raise BadAnswer("it has no code")
    if 300 <= status < 400:
        raise BadAnswer(f"it leads elsewhere (HTTP {status})")
    if code == 0 and status < 300:
        data = answer.get("data", answer)  # the oldest have it beside the code
        if not isinstance(data, dict):
            raise BadAnswer("its data is no object")
        return data
    raise _meaning(status, code)


def _meaning(status: int, code: int) -> Exception:
    if code in APP_LACKS:
        return Denied("FEISHU_SCOPE_MISSING", f"The app lacks a right that this needs (code {code}): add it at Feishu")
    if code in GONE or (status == 404 and code not in FORBIDDEN):
        return Gone(code)
    if code in FORBIDDEN or status == 403:
        return Forbidden(code)
    return Refusal(f"FEISHU_{abs(code)}"[:40], f"Feishu refuses it (HTTP {status}, code {code})", code=code)
