"""The chain of hosts to connect through and the settings of each, from ~/.ssh/config. No connection is made here."""

from __future__ import annotations

import getpass
import glob
import os
import re
import shlex
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko

from scheduler.errors import ConfigError
from scheduler.schema.regular_file import read_settings
from scheduler.transports.settings import Hop, SshSettings, check_host, check_user

_JUMP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^]]+\]|[^:\[\]]+)(?::(?P<port>\d+))?/?\Z")

_SSH = Path("~/.ssh")
_DEFAULT_CONFIG = _SSH / "config"
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_DEFAULT_KNOWN_HOSTS = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
_GLOBAL_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"
_MATCH_CRITERIA = {"all", "canonical", "final", "host", "originalhost", "user", "localuser", "exec"}
"""The Match criteria that Paramiko evaluates; it takes any other as matched (paramiko/config.py)."""
_USE_OPENSSH = "`transport: openssh` supports every option of ssh_config"
_DEFAULT_KEEPALIVE_SECONDS = 30
_MOST_NESTED_INCLUDES = 16
_NO_FILE = ("none", "/dev/null")
"""Names that stand for no file: nothing can be looked up or remembered there."""


@dataclass(frozen=True)
class _Target:
    """A host and options as on the command line of ssh."""

    host: str
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    jumps: str | None = None

    def lines(self) -> list[str]:
        """The options as the first lines of a config file, where they override every entry."""
        options = {
            "User": self.user,
            "Port": self.port,
            "IdentityFile": self.identity_file,
            "ProxyJump": self.jumps,
        }
        return ["Host *", *(f"{name} {value}" for name, value in options.items() if value is not None)]


def route(settings: SshSettings) -> tuple[Hop, ...]:
    """The hosts to connect to, in order: the jump hosts, then the host of `settings`.

    Raises:
        ConfigError: the config file cannot be read or parsed, or ProxyJump has a cycle.
    """
    lines = _config_lines(settings)
    target = _Target(settings.host, settings.user, settings.port, settings.identity_file, settings.proxy_jump or None)
    return tuple(_chain(target, lines, settings, ()))


def _chain(target: _Target, lines: list[str], settings: SshSettings, passed: tuple[str, ...]) -> Iterator[Hop]:
    entry = _entry(target, lines, settings)
    hop = _hop(target.host, entry, settings)
    if hop.where in passed:
        cycle = " → ".join((*passed, hop.where))
        raise ConfigError(f"ProxyJump has a cycle: {cycle}. Give the first one `ProxyJump none`")
    if jumps := _jumps(entry):
        jump = _jump_target(jumps[-1], before=jumps[:-1])
        yield from _chain(jump, lines, settings, (*passed, hop.where))
    yield hop


def _jumps(entry: Mapping[str, str]) -> list[str]:
    # Of ProxyJump and ProxyCommand, the one that is specified first applies (ssh_config(5)).
    first = next((key for key in entry if key in ("proxyjump", "proxycommand")), "")
    value = entry[first] if first == "proxyjump" else "none"
    return [] if value.lower() == "none" else [jump.strip() for jump in value.split(",")]


def _jump_target(jump: str, *, before: Sequence[str]) -> _Target:
    match = _JUMP.match(jump)
    if not match:
        raise ConfigError(f"a jump host is [user@]host[:port], not {jump!r}")
    host = match["host"].strip("[]")
    check_host(host, "jump host")
    if match["user"]:
        check_user(match["user"], "user of a jump host")
    port = int(match["port"]) if match["port"] else None
    return _Target(host, match["user"], port, jumps=",".join(before) or None)


def _entry(target: _Target, lines: list[str], settings: SshSettings) -> paramiko.SSHConfigDict:
    try:
        return paramiko.SSHConfig.from_text("\n".join([*target.lines(), *lines])).lookup(target.host)
    except (paramiko.SSHException, KeyError, ValueError, ImportError) as error:  # Match exec imports invoke
        name = settings.config_file or _DEFAULT_CONFIG
        raise ConfigError(
            f"{name}: cannot read the options of host {target.host!r}: {error}. {_USE_OPENSSH}"
        ) from error


def _hop(alias: str, entry: paramiko.SSHConfigDict, settings: SshSettings) -> Hop:
    try:
        port = int(entry.get("port", 22))
        connect_seconds = float(entry.get("connecttimeout", settings.connect_timeout))
        keepalive_seconds = int(entry.get("serveraliveinterval", _DEFAULT_KEEPALIVE_SECONDS))
    except ValueError as error:
        raise ConfigError(f"{settings.config_file or _DEFAULT_CONFIG}: Host {alias}: {error}") from error
    hostname = entry["hostname"]
    check_host(hostname, "HostName")
    tokens = {"h": hostname, "n": alias, "p": str(port), "k": entry.get("hostkeyalias", alias)}
    tokens |= {"r": entry.get("user") or getpass.getuser(), "u": getpass.getuser(), "d": str(Path.home())}
    tokens |= {"i": str(os.getuid()), "L": socket.gethostname().partition(".")[0]}
    identity_files = _identity_files(entry, tokens)
    user_files, global_files = _known_hosts(entry, settings, tokens)
    return Hop(
        alias=alias,
        hostname=hostname,
        port=port,
        user=tokens["r"],
        identity_files=identity_files or tuple(_existing_default_keys()),
        certificate_files=_certificate_files(entry, tokens),
        identity_files_given=bool(identity_files),
        identities_only=entry.get("identitiesonly", "no").lower() == "yes",
        agent=_agent(entry, tokens),
        known_as=_known_as(entry, hostname, port),
        known_hosts=(*user_files, *global_files),
        revoked_keys=_paths(_expanded(entry.get("revokedhostkeys", "none"), tokens)),
        new_keys_go_to=user_files[0] if user_files else None,
        accept_new_host_key=settings.accept_new_host_key,
        proxy_command=None if _jumps(entry) else entry.get("proxycommand"),
        connect_seconds=connect_seconds,
        keepalive_seconds=keepalive_seconds,
    )


def _identity_files(entry: Mapping[str, str], tokens: Mapping[str, str]) -> tuple[Path, ...]:
    # The type stubs have a string for every value, but that of IdentityFile is a list (paramiko/config.py).
    files: Iterable[str] = entry.get("identityfile", ())
    names = (name.strip('"') for name in files if name.lower() != "none")
    return tuple(Path(_expanded(name, tokens)).expanduser() for name in names)


def _certificate_files(entry: Mapping[str, str], tokens: Mapping[str, str]) -> tuple[Path, ...]:
    # Paramiko keeps only the first of several CertificateFile lines.
    name = entry.get("certificatefile", "none").strip('"')
    return () if name.lower() == "none" else (Path(_expanded(name, tokens)).expanduser(),)


def _existing_default_keys() -> Iterator[Path]:
    for name in _DEFAULT_KEYS:
        path = (_SSH / name).expanduser()
        if path.exists():
            yield path


def _agent(entry: Mapping[str, str], tokens: Mapping[str, str]) -> str | None:
    named = entry.get("identityagent", "SSH_AUTH_SOCK")
    if named in ("SSH_AUTH_SOCK", "$SSH_AUTH_SOCK", "${SSH_AUTH_SOCK}"):
        return None
    if re.fullmatch(r"\$\w+", named):  # the one option in which ssh expands $NAME without braces
        named = f"${{{named[1:]}}}"
    return "" if named.lower() == "none" else str(Path(_expanded(named, tokens)).expanduser())


def _known_as(entry: Mapping[str, str], hostname: str, port: int) -> tuple[str, ...]:
    if alias := entry.get("hostkeyalias"):
        return (alias.lower(),)
    name = hostname.lower()
    # As in ssh, the key for port 22 also verifies the host on another port, but a different key there is not an error.
    return (name,) if port == 22 else (f"[{name}]:{port}", name)


def _expanded(value: str, tokens: Mapping[str, str]) -> str:
    """Expand the tokens and ``${NAME}`` of ssh_config(5) in options where Paramiko does not; unknown tokens stay.

    Raises:
        ConfigError: a variable is not set; ssh ends there too.
    """

    def variable(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ConfigError(f"ssh's configuration uses {found[0]} in {value!r}, but {found[1]} is not set")
        return os.environ[found[1]]

    value = re.sub("%(.)", lambda found: {**tokens, "%": "%"}.get(found[1], found[0]), value)
    return re.sub(r"\$\{(\w+)\}", variable, value)


def _known_hosts(
    entry: Mapping[str, str], settings: SshSettings, tokens: Mapping[str, str]
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The UserKnownHostsFile files, and the GlobalKnownHostsFile files, which are never written."""
    if settings.known_hosts:
        return (Path(settings.known_hosts).expanduser(),), ()
    user_files = entry.get("userknownhostsfile", _DEFAULT_KNOWN_HOSTS)
    global_files = entry.get("globalknownhostsfile", _GLOBAL_KNOWN_HOSTS)
    return _paths(_expanded(user_files, tokens)), _paths(_expanded(global_files, tokens))


def _paths(value: str) -> tuple[Path, ...]:
    """The paths of an option with several. Paramiko removes a quote at the beginning and at the end of the value."""
    if value not in _NO_FILE and Path(value).expanduser().exists():
        return (Path(value).expanduser(),)  # one path, which may contain blanks
    if '"' in value.strip('"') and value == value.strip('"'):
        value = f'"{value}"'
    return tuple(Path(name).expanduser() for name in shlex.split(value) if name.lower() not in _NO_FILE)


def _config_lines(settings: SshSettings) -> list[str]:
    path = Path(settings.config_file or _DEFAULT_CONFIG).expanduser()
    if not path.exists():
        if settings.config_file:
            raise ConfigError(f"ssh config_file {settings.config_file} of {settings.host!r} does not exist")
        return []
    return ["Host *", *_with_includes(path, depth=0)]


def _with_includes(path: Path, *, depth: int) -> Iterator[str]:
    """The lines of a config file with each Include replaced by the included lines, which Paramiko does not do."""
    if depth > _MOST_NESTED_INCLUDES:
        raise ConfigError(f"{path}: too many nested Includes, the limit is {_MOST_NESTED_INCLUDES}")
    block = "Host *"
    for line in _read_lines(path):
        keyword, _, value = line.strip().replace("=", " ", 1).partition(" ")
        if keyword.lower() in ("host", "match"):
            block = line
            _check_match(keyword, value, path)
        if keyword.lower() != "include":
            yield line
            continue
        for included in _included_files(value, path):
            yield from _with_includes(included, depth=depth + 1)
            yield block  # the lines after the Include belong to the block that contains it


def _check_match(keyword: str, value: str, path: Path) -> None:
    words = shlex.split(value, comments=True) if keyword.lower() == "match" else []
    while words:
        criterion = words.pop(0).lstrip("!").lower().partition("=")[0]
        if criterion not in _MATCH_CRITERIA:
            block = f"`Match {value.strip()}`"
            raise ConfigError(f"{path}: {block}: Paramiko does not support {criterion!r}. {_USE_OPENSSH}")
        if criterion not in ("all", "canonical", "final"):
            words = words[1:]


def _read_lines(path: Path) -> list[str]:
    try:
        return read_settings(path).decode("utf-8", "surrogateescape").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _included_files(value: str, path: Path) -> Iterator[Path]:
    try:
        patterns = shlex.split(value, comments=True)
    except ValueError as error:
        raise ConfigError(f"{path}: Include {value}: {error}") from error
    for pattern in patterns:
        for name in sorted(glob.glob(str(_SSH.expanduser() / Path(pattern).expanduser()))):  # noqa: PTH207
            if Path(name).is_file():
                yield Path(name)
