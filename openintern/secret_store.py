"""Secrets of organisations: encrypted in the database, with a key that is outside of it.

The keys are `OPENINTERN_SECRET_KEYS` (Fernet keys, separated by commas, the newest first), else `secret_keys` in the data
directory, made at the first use. The first encrypts, all decrypt: a new one is put in front, `manage.py rotate_secrets`
moves every secret to it, and then the old one can go. What is revealed is redacted from events and logs from then on.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

from openintern import data_directory, redaction

VARIABLE: Final = "OPENINTERN_SECRET_KEYS"
FILE: Final = "secret_keys"


class Unreadable(Exception):
    """No key that we have opens this secret."""


class Secret:
    """A sealed text. It shows itself to nobody: not in a log, a form, an answer, a comparison."""

    __slots__ = ("_token",)

    def __init__(self, token: str = "") -> None:
        self._token = token

    @classmethod
    def seal(cls, text: str) -> Secret:
        """Encrypt a text; an empty one is no secret."""
        return cls(_keys().encrypt(text.encode()).decode("ascii") if text else "")

    def reveal(self) -> str:
        """Return the text, for the one call that needs it; "" where there is none. Raises Unreadable."""
        if not self._token:
            return ""
        try:
            text = _keys().decrypt(self._token.encode("ascii")).decode()
        except InvalidToken as error:
            raise Unreadable(f"A secret was encrypted with a key that is not among {VARIABLE}") from error
        redaction.learn(text)
        return text

    def rotated(self) -> Secret:
        """Return the same secret under the newest key. Raises Unreadable."""
        try:
            return Secret(_keys().rotate(self._token.encode("ascii")).decode("ascii")) if self._token else self
        except InvalidToken as error:
            raise Unreadable(f"A secret was encrypted with a key that is not among {VARIABLE}") from error

    @property
    def token(self) -> str:
        """What is stored."""
        return self._token

    def __bool__(self) -> bool:
        return bool(self._token)

    def __str__(self) -> str:
        return redaction.MARK if self._token else ""

    def __repr__(self) -> str:
        return f"Secret({self})"


class SecretField(models.TextField[Any, Any]):
    """A column of secrets. A text that is assigned is sealed when it is saved; what is read is a `Secret`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"blank": True, "default": Secret, "editable": False, **options})

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        for settled in ("blank", "default", "editable"):
            options.pop(settled, None)
        return name, path, args, options

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Secret:
        """See Django."""
        return Secret(value or "")

    def to_python(self, value: Any) -> Secret:
        return value if isinstance(value, Secret) else Secret.seal(str(value or ""))

    def get_prep_value(self, value: Any) -> str:
        return self.to_python(value).token

    def value_to_string(self, obj: models.Model) -> str:
        """A dump holds no secret, not even a sealed one."""
        return ""


@cache
def _keys() -> MultiFernet:
    told = os.environ.get(VARIABLE, "") or _kept()
    return MultiFernet(
        [Fernet(key.strip().encode("ascii")) for key in told.replace("\n", ",").split(",") if key.strip()]
    )


def _kept() -> str:
    """The keys of the data directory, the newest first. Processes that make them at the same time agree on one."""
    path = data_directory.ensure(settings.CONFIG.server.base_dir) / FILE
    if not path.exists():
        data_directory.write_private(path, Fernet.generate_key().decode("ascii") + "\n", replace=False)
    return path.read_text(encoding="ascii")


def forget_keys() -> None:
    """Read the keys anew at the next use."""
    _keys.cache_clear()
