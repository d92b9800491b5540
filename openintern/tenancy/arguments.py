"""In whose name a command speaks: the arguments that every command for people shares."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from openintern.errors import OpenInternError
from openintern.tenancy.bootstrap import FIRST_ORGANIZATION, FIRST_PERSON
from openintern.tenancy.people import find_member, find_organization
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope


def add_scope_arguments(parser: ArgumentParser) -> None:
    """Let a command be told in whose name it speaks."""
    parser.add_argument(
        "--org",
        default=os.environ.get("AGENT_ORG_ID", FIRST_ORGANIZATION),
        metavar="SLUG",
        help="organisation (AGENT_ORG_ID)",
    )
    parser.add_argument(
        "--user", default=os.environ.get("AGENT_USER_ID", FIRST_PERSON), metavar="NAME", help="person (AGENT_USER_ID)"
    )
    parser.add_argument(
        "--project", default=os.environ.get("AGENT_PROJECT_ID", ""), metavar="SLUG", help="project (AGENT_PROJECT_ID)"
    )


def scope_from(options: dict[str, Any]) -> Scope:
    """Return the scope that the arguments name. Raises CommandError if there is no such person, organisation or project."""
    try:
        org = find_organization(options["org"])
        member = find_member(org, options["user"])
    except OpenInternError as error:
        raise CommandError(f"{error.message} (--org {options['org']} --user {options['user']})") from error
    project = org.projects.filter(slug=options["project"]).first() if options["project"] else None
    if options["project"] and project is None:
        raise CommandError(f"Project not found: {options['project']}")
    return Scope(org=org, user=member.user, role=Role(member.role), project=project)
