"""One YAML file as one mapping, strictly. No word of what its keys mean.

Scalars are read as YAML 1.2's core schema says, not 1.1: ``4:00:00`` is text and not 14400, ``on`` and ``no``
are text and not true and false, ``1e6`` is a number, dates are text. So is NaN: JSON has no such thing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scheduler.errors import ConfigError

MAX_BYTES = 1 << 22
MAX_VALUES = 100_000  # after aliases are followed: a few hundred bytes of them can stand for billions

_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    "merge": (r"<<", "<"),
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with another table of scalars and fewer tags, that refuses a key given twice."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _values_in(node, {}) > MAX_VALUES:
            raise _at(node, "its aliases stand for too many values")
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node, seen = super().compose_mapping_node(anchor), set[str]()
        for key, _ in node.value if node else ():
            if key.tag not in (_TAG + "str", _TAG + "merge"):
                raise _at(key, "a key must be a word (in quotes, if YAML takes it for something else)")
            if key.value in seen:
                raise _at(key, f"the key {key.value!r} is there twice")
            seen.add(key.value)
        return node

    def plain_int(self, node: Any) -> int:
        text = node.value
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)

    def plain_float(self, node: Any) -> float:
        return float(node.value)


_Loader.yaml_implicit_resolvers = {}
for _kind, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern})\Z"), [c.strip("\0") for c in _first])
_Loader.yaml_constructors = {
    _TAG + "null": _Loader.construct_yaml_null,
    _TAG + "bool": _Loader.construct_yaml_bool,
    _TAG + "int": _Loader.plain_int,
    _TAG + "float": _Loader.plain_float,
    _TAG + "str": _Loader.construct_yaml_str,
    _TAG + "seq": _Loader.construct_yaml_seq,
    _TAG + "map": _Loader.construct_yaml_map,
    None: _Loader.construct_undefined,  # any other tag
}


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that the YAML file at `path` holds; an empty file is an empty mapping.

    Raises:
        ConfigError: the file cannot be read, is no YAML (with line and column), holds a key twice or a
            tag, or something else than a mapping.
    """
    text = _text_of(path)
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader with fewer tags)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{path}: {_place(error)}{_words(error)}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: it is nested too deeply") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, not a {type(value).__name__}")
    return value


def path_here(text: str | os.PathLike[str], *, beside: Path | None = None) -> Path:
    """An absolute path from what a person wrote: ``~`` is home, and relative is to the file `beside` it."""
    folder = Path.cwd() if beside is None else beside.absolute().parent
    return folder / os.path.expanduser(text)  # noqa: PTH111 (Path's own raises when there is no such user)


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with what `above` says instead: mappings key by key, anything else as a whole."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = laid_over(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: is larger than {MAX_BYTES >> 20} MiB, and so no file of settings")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _at(node: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _words(error: yaml.MarkedYAMLError) -> str:
    return " ".join(part for part in (error.context, error.problem) if part)


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def _values_in(node: Any, known: dict[int, int]) -> int:
    """How many values `node` stands for, each alias counted as all that it names."""
    if id(node) not in known:
        known[id(node)] = MAX_VALUES + 1  # what an alias of itself finds
        inside = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        parts = inside if isinstance(node, yaml.CollectionNode) else []
        known[id(node)] = 1 + sum(_values_in(part, known) for part in parts)
    return known[id(node)]
