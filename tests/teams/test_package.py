"""What comes as a skill from elsewhere is read within bounds, or not at all."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openintern.errors import OpenInternError
from openintern.tenancy.scope import org_scope
from teams import package
from teams.models import Skill
from tests.conftest import Person

SKILL = "---\nname: Tides\nversion: '1.2'\ndescription: When the water comes\ntools: [read_file, grep_files]\nrisk: medium\nallow_implicit_invocation: true\n---\n\nLook them up.\n"


def zipped(*entries: tuple[str | zipfile.ZipInfo, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return made.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def refusal(archive: bytes) -> str:
    with pytest.raises(OpenInternError) as refused:
        package.from_zip(archive)
    return refused.value.code


@pytest.mark.parametrize("base", ["", "tides/"])
def test_a_zip_is_read(base: str) -> None:
    found = package.from_zip(zipped((f"{base}SKILL.md", SKILL), (f"{base}tables/zwin.md", "High at nine.")))

    assert found.name == "Tides"
    assert found.content == {
        "label": "1.2",
        "description": "When the water comes",
        "text": "Look them up.",
        "files": {"tables/zwin.md": "High at nine."},
        "tools": ["read_file", "grep_files"],
        "risk_level": "medium",
        "source_type": "remote",
        "entry_path": "SKILL.md",
        "allow_implicit_invocation": True,
        "dependencies": {},
    }


@pytest.mark.parametrize(
    "name",
    ["../x.md", "a/../../x.md", "/etc/x.md", "~/x.md", "C:\\x.md", "a\\b.md", "a//b.md", "./x.md", ".env", "a/.git/x", "x\n.md", "x" * 201],
)  # fmt: skip
def test_names_that_could_lead_elsewhere_are_refused(name: str) -> None:
    assert refusal(zipped(("SKILL.md", SKILL), (name, "x"))) == "VALIDATION_ERROR"


def _encrypted() -> bytes:
    """As a zip that says its entry is encrypted."""
    archive = bytearray(zipped(("SKILL.md", SKILL)))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(magic) + offset] |= 1
    return bytes(archive)


def _twice() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate"):
        return zipped(("SKILL.md", SKILL), ("SKILL.md", SKILL))


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"PK\x03\x04 not really",
        lambda: zipped(("README.md", "x")),
        lambda: zipped(("a/SKILL.md", SKILL), ("b/SKILL.md", SKILL)),
        lambda: zipped(("a/SKILL.md", SKILL), ("b/x.md", "x")),
        lambda: zipped(("SKILL.md", SKILL), (link("x.md"), "/etc/passwd")),
        lambda: zipped(("SKILL.md", SKILL), *((f"{n}.md", "x") for n in range(201))),
        lambda: zipped(("SKILL.md", SKILL), ("bomb.md", "0" * 1_000_000)),
        lambda: zipped(("SKILL.md", SKILL), ("binary.md", b"\xff\xfe\x00")),
        lambda: zipped(("SKILL.md", SKILL), ("nul.md", b"a\0b")),
        lambda: zipped(("SKILL.md", "no front matter")),
        lambda: zipped(("SKILL.md", "---\nname: x\n")),
        lambda: zipped(("SKILL.md", "---\n[a, b]\n---\n")),
        lambda: zipped(("SKILL.md", "---\nname: [\n---\n")),
        lambda: zipped(("SKILL.md", "---\ndescription: x\n---\n")),
        lambda: zipped(("SKILL.md", "---\nname: x\nrisk: none\n---\n")),
        lambda: zipped(("SKILL.md", "---\na: &a [x]\nname: x\ntools: *a\n---\n")),
        lambda: zipped(("SKILL.md", "---\nname: !!python/object/apply:os.system [id]\n---\n")),
        lambda: zipped(("SKILL.md", "---\nname: " + "[" * 20_000 + "\n---\n")),
        _encrypted,
        _twice,
    ],
)
def test_what_is_no_skill_is_refused(make: Callable[[], bytes]) -> None:
    assert refusal(make()) == "VALIDATION_ERROR"


def test_what_is_too_large_is_refused() -> None:
    noise = os.urandom(1_200_000).hex()

    assert refusal(zipped(("SKILL.md", SKILL), ("noise.md", noise))) == "TOO_LARGE"
    assert refusal(b"x" * (package.MOST_ZIP_BYTES + 1)) == "TOO_LARGE"


def test_an_entry_that_lies_about_its_size_is_not_believed() -> None:
    honest = zipped(("SKILL.md", SKILL), ("x.md", os.urandom(40_000).hex()))
    size = (80_000).to_bytes(4, "little")
    assert honest.count(size) == 2

    assert refusal(honest.replace(size, (80).to_bytes(4, "little"))) == "VALIDATION_ERROR"


@pytest.mark.parametrize("field", sorted(package.FORBIDDEN))
def test_front_matter_that_says_what_is_executed_is_refused(field: str) -> None:
    assert refusal(zipped(("SKILL.md", f"---\nname: x\n{field}: stdio\n---\n"))) == "UNKNOWN_FIELD"


def test_a_folder_with_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "SKILL.md").write_text(SKILL)
    (tmp_path / "passwd.md").symlink_to("/etc/passwd")

    with pytest.raises(OpenInternError, match="is a link"):
        package.from_folder(tmp_path)


def test_a_folder_leaves_out_what_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "SKILL.md").write_text(SKILL)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("x")

    assert package.from_folder(tmp_path).content["files"] == {}


@pytest.mark.parametrize("as_form", [True, False])
def test_an_imported_skill_waits_for_an_admin_and_so_does_its_next_version(alice: Person, as_form: bool) -> None:
    client = alice.with_key()
    with org_scope(alice.org):
        Skill.objects.filter(name="Tides").delete()

    def send(text: str) -> Any:
        archive = zipped(("SKILL.md", SKILL.replace("Look them up.", text)))
        if as_form:
            return client.post("/api/skills/import", {"file": io.BytesIO(archive)})
        return client.post("/api/skills/import", archive, content_type="application/zip")

    first = send("One.")
    assert (first.status_code, first.json()["enabled_version"], first.json()["version"]) == (201, None, 1)
    skill_id = first.json()["id"]
    client.put(f"/api/skills/{skill_id}", {"is_enabled": True}, content_type="application/json")
    second = send("Two.").json()

    renamed = client.put(f"/api/skills/{skill_id}", {"roles": []}, content_type="application/json").json()

    assert (second["id"], second["version"], second["enabled_version"]) == (skill_id, 2, 1)
    assert renamed["enabled_version"] == 1
