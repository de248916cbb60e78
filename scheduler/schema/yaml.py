"""Reads one YAML file as one mapping, strictly. What the keys mean is defined elsewhere.

Scalars are those of the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), not of YAML 1.1:
``4:00:00`` is text, not 14400; ``on`` and ``no`` are text, not true and false; ``1e6`` is a number; dates are text.
NaN and infinity are text too, because JSON does not have them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scheduler.errors import ConfigError
from scheduler.schema.regular_file import read_regular

NO_CURRENT_FOLDER = "the current directory no longer exists: change to another one (cd ~), or give absolute paths"
MAX_BYTES = 1 << 22
MAX_VALUES = 100_000  # with aliases expanded: a few hundred bytes can expand to billions of values

_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    "merge": (r"<<", "<"),
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with another table of scalars and fewer tags. It refuses duplicate keys."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _values_in(node, {}) > MAX_VALUES:
            raise _at(node, f"its aliases expand to more than {MAX_VALUES} values; use fewer")
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node, seen = super().compose_mapping_node(anchor), set[str]()
        for key, _ in node.value if node else ():
            if key.tag not in (_TAG + "str", _TAG + "merge"):
                raise _at(key, "a key must be text (in quotes, if YAML reads it as another type)")
            if key.value in seen:
                raise _at(key, f"the key {key.value!r} is given twice; delete one")
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


def read_mapping(path: Path, *, sha256: str | None = None) -> dict[str, Any]:
    """The mapping in the YAML file at `path`; of an empty file an empty mapping.

    Args:
        path: the file.
        sha256: the digest that its bytes must have; None: any.

    Raises:
        ConfigError: the file cannot be read, is not valid YAML (with line and column), has a duplicate key or a tag, or
            is not a mapping.
    """
    text = _text_of(path, sha256)
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader with fewer tags)
    except yaml.MarkedYAMLError as error:  # its own text has an excerpt of the file, which may hold a secret
        raise ConfigError(f"{path}: {_position(error)}{_words(error)}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: {_without_quotes(str(error))}") from None
    except RecursionError as error:
        raise ConfigError(f"{path}: is nested too deeply") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, not a {type(value).__name__}")
    return value


def local_path(text: str | os.PathLike[str], *, beside: Path | None = None) -> Path:
    """A local path that a user wrote, as an absolute path.

    Args:
        text: the path; a leading ``~`` is the user's home directory.
        beside: the file to whose folder a relative path is relative; None: relative to the current directory.

    Raises:
        ConfigError: the path is relative to the current directory, which no longer exists.
    """
    path = Path(os.path.expanduser(text))  # noqa: PTH111 (Path's own raises when there is no such user)
    if path.is_absolute():
        return path
    return (_current_folder() if beside is None else beside.absolute().parent) / path


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ConfigError(NO_CURRENT_FOLDER) from error


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above` in place of its own: mappings are merged key by key, other values replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = laid_over(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _text_of(path: Path, sha256: str | None) -> str:
    try:
        content = read_regular(path, most=MAX_BYTES)
        if content is None:
            raise ConfigError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; is it the right file?")
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise ConfigError(f"{path}: has changed while it was read; try again")
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _at(node: Any, problem: str) -> yaml.MarkedYAMLError:
    return _Problem(None, None, problem, node.start_mark)


def _words(error: yaml.MarkedYAMLError) -> str:
    words = " ".join(part for part in (error.context, error.problem) if part)
    return words if isinstance(error, _Problem) else _without_quotes(words)


class _Problem(yaml.constructor.ConstructorError):
    """Found here, not by PyYAML. Its message quotes keys only."""


def _without_quotes(words: str) -> str:
    """PyYAML's words without what they quote of the file, but for single characters and its own ``<token>`` names."""
    return re.sub(r"'(?!<)(?:[^'\\]|\\.){2,}'|\"[^\"]{2,}\"", "…", words)


def _position(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def _values_in(node: Any, known: dict[int, int]) -> int:
    """The number of values in `node`, with every alias expanded."""
    if id(node) not in known:
        known[id(node)] = MAX_VALUES + 1  # an alias that contains itself
        inside = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        parts = inside if isinstance(node, yaml.CollectionNode) else []
        known[id(node)] = 1 + sum(_values_in(part, known) for part in parts)
    return known[id(node)]
