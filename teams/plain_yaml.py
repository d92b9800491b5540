"""YAML as data: no objects, and none of the references by which a small text becomes a large one."""

from __future__ import annotations

from typing import Any

import yaml


class _NoAliases(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("References are not allowed")
        return super().compose_node(parent, index)


def load(text: str) -> Any:
    """Return what a text says. Raises YAMLError or RecursionError for what is no YAML, or has references."""
    return yaml.load(text, Loader=_NoAliases)  # noqa: S506  a safe loader


class _Blocks(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Blocks.add_representer(str, _text)


def written(value: Any) -> str:
    """Return a value as YAML that people like to read: long texts as blocks, names in the order given."""
    return yaml.dump(value, Dumper=_Blocks, sort_keys=False, allow_unicode=True, width=110)
