"""A value named ``self`` in a template: to Jinja, ``self`` is the template, so the value gets another name."""

from __future__ import annotations

from typing import Any

import jinja2
from jinja2 import nodes

OWN_SELF = "_param_named_self"
"""Under this name a template without blocks finds a value named ``self``."""


class Undefined(jinja2.StrictUndefined):
    """A value that does not exist, with the name that the template has for it."""

    __slots__ = ()

    def __init__(self, hint: str | None = None, obj: Any = jinja2.utils.missing, name: str | None = None,
                 exc: type[jinja2.exceptions.TemplateRuntimeError] = jinja2.UndefinedError) -> None:  # fmt: skip
        super().__init__(hint, obj, "self" if name == OWN_SELF else name, exc)


def with_own_self(tree: nodes.Template) -> nodes.Template:
    """The syntax tree of a template, with `OWN_SELF` in place of ``self``. A template with blocks needs its own."""
    if not any(tree.find_all((nodes.Block, nodes.Extends))):
        for name in tree.find_all(nodes.Name):
            name.name = OWN_SELF if name.name == "self" else name.name
    return tree
