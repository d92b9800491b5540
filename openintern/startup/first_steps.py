"""What a person and a script need to begin: somebody to sign in as, and a key."""

from __future__ import annotations

from pathlib import Path

from django.utils import timezone

from openintern import data_directory
from openintern.startup.entrance import API_KEY_FILE, Entrance
from openintern.tenancy import keys
from openintern.tenancy.bootstrap import FirstSteps, ensure_first_organization


def ensure_entrance(base_dir: Path) -> Entrance:
    """Make the first organisation, its first person and their key, as far as they are missing."""
    first = ensure_first_organization()
    return Entrance(
        org=first.org.slug,
        user=first.user.username,
        password=first.password,
        api_key=_kept_api_key(base_dir, first),
    )


def _kept_api_key(base_dir: Path, first: FirstSteps) -> str:
    """Return the key that is kept beside the data for scripts on this machine; a new one if that one was revoked.

    Whoever can read the file can read the signing key and the database's password beside it just as well.
    """
    path = data_directory.ensure(base_dir) / API_KEY_FILE
    kept = path.read_text(encoding="ascii").strip() if path.exists() else ""
    key = keys.find_api_key(kept, at=timezone.now()) if kept else None
    if key is not None and key.organization_id == first.org.pk:
        return kept
    _, text = keys.create_api_key(org=first.org, user=first.user, name=f"kept in {path}"[:100], via="up")
    data_directory.write_private(path, text + "\n")
    return text
