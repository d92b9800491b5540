"""How to get into an installation that was just started."""

from __future__ import annotations

from dataclasses import dataclass

#: Where, in the data directory, the key for scripts on this machine is kept.
API_KEY_FILE = "api_key"


@dataclass(frozen=True)
class Entrance:
    """How to get in. `password` is known only when the first person was made just now."""

    org: str
    user: str
    password: str | None
    api_key: str

    @property
    def is_first_start(self) -> bool:
        return self.password is not None
