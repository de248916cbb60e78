"""Which other templates a template extends, includes or imports."""

from __future__ import annotations

from pathlib import Path

from jinja2 import meta

from scheduler.errors import ConfigError
from scheduler.schema.budget import limited
from scheduler.schema.sandbox import Sandbox
from scheduler.schema.template_errors import FAULTS, explained

_SANDBOX = Sandbox(trim_blocks=True, lstrip_blocks=True)


def names_in(content: bytes, path: Path) -> list[str]:
    """The names of other templates in the template with this content.

    Args:
        content: its bytes.
        path: its file, for messages.

    Raises:
        ConfigError: its syntax is wrong, or it computes a name.
    """
    text = content.decode("utf-8", "replace")
    try:
        with limited():
            found = list(meta.find_referenced_templates(_SANDBOX.parse(text)))
    except FAULTS as error:
        raise ConfigError(f"template {path}: {explained(error, source=text)}") from None
    if None in found:
        raise ConfigError(f"template {path}: it computes the name of a template that it includes; write it in quotes")
    return [name for name in found if name is not None]
