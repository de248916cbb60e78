"""What OpenSSH's `ssh` is told, and what its own words mean: options, a config file, errors. Nothing is run here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from scheduler.errors import ConfigError, HostKeyError, LoginError, TimedOut, TransportError
from scheduler.transports.settings import SshSettings

_HOST_KEY = re.compile(
    r"host key verification failed|host identification has changed|host key is known for|revoked", re.I
)
_CHANGED = re.compile(r"host identification has changed", re.I)
_LOGIN = re.compile(
    r"permission denied \(|too many authentication failures|authentication methods available|unable to authenticate",
    re.I,
)
_TIME = re.compile(r"timed out|timeout, server", re.I)
_KEY_SHOWN = re.compile(r"debug1: Server host key: (\S+) (\S+)")

_CONFIG = """\
# What scheduler asks of ssh comes first, then all that the user's own files say, then what is left.
BatchMode {batch}
StrictHostKeyChecking {strict}
{known_hosts}ClearAllForwardings yes
ForwardAgent no
ForwardX11 no
PermitLocalCommand no
RemoteCommand none
RequestTTY no
{include}
Match all
ConnectTimeout {seconds:.0f}
ServerAliveInterval 30
"""


def config_text(settings: SshSettings, *, asking: bool) -> str:
    """A config file for `ssh -F`: a file, since only that reaches the jump hosts of a chain too.

    Raises:
        ConfigError: a path that no config file can hold.
    """
    known_hosts = ""
    if settings.known_hosts:
        path = _quoted(Path(settings.known_hosts).expanduser())
        known_hosts = f"UserKnownHostsFile {path}\nGlobalKnownHostsFile /dev/null\n"
    own = _quoted(Path(settings.config_file).expanduser()) if settings.config_file else "~/.ssh/config"
    everybodys = "" if settings.config_file else "\nMatch all\nInclude /etc/ssh/ssh_config"
    return _CONFIG.format(
        batch="no" if asking else "yes",
        strict="accept-new" if settings.accept_new_host_key else "yes",
        known_hosts=known_hosts,
        include=f"Include {own}{everybodys}",
        seconds=max(1.0, settings.connect_timeout),
    )


def target(settings: SshSettings) -> list[str]:
    """The host and what the site file says of it, as the last words of an ssh command."""
    options = {
        "-l": settings.user,
        "-p": settings.port,
        "-i": Path(settings.identity_file).expanduser() if settings.identity_file else None,
        "-J": settings.proxy_jump,
    }
    words = [word for name, value in options.items() if value for word in (name, str(value))]
    return [*words, "--", settings.host]


def by_hand(settings: SshSettings) -> str:
    """The command with which a person gets there."""
    known = ["-o", f"UserKnownHostsFile={settings.known_hosts}"] if settings.known_hosts else []
    return f"`{shlex.join(['ssh', *known, *(word for word in target(settings) if word != '--')])}`"


def key_shown(words: str) -> str:
    """The key that the last host of the chain showed, as `ssh -v` names it; empty if it names none."""
    shown = _KEY_SHOWN.findall(words)
    return f" It shows an {shown[-1][0]} key {shown[-1][1]}." if shown else ""


def certificates_in(settings: str) -> list[Path]:
    """The certificates that ssh would show, by what `ssh -G` says."""
    lines = [line.partition(" ") for line in settings.splitlines()]
    keys = [value for name, _, value in lines if name == "identityfile"]
    named = [value for name, _, value in lines if name == "certificatefile"]
    paths = [*(f"{key.removesuffix('.pub')}-cert.pub" for key in keys), *named]
    return [Path(path).expanduser() for path in paths]


def is_behind_a_proxy(words: str) -> bool:
    """What failed is a jump host's own ssh, whose words are thrown away where connections are shared (sshconnect.c)."""
    return "UNKNOWN port 65535" in words and not _HOST_KEY.search(words)


def without_debugging(words: str) -> str:
    """What `ssh -v` says that `ssh` says too."""
    lines = words.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("debug1: ", "OpenSSH_"))).strip()


def is_login(words: str) -> bool:
    """The host was reached and did not let us in."""
    return bool(_LOGIN.search(words)) and not _HOST_KEY.search(words)


def is_unknown_host(words: str) -> bool:
    """The host is refused because nobody knows it, and not because it has changed."""
    return bool(_HOST_KEY.search(words)) and not _CHANGED.search(words) and "revoked" not in words.lower()


def refusal(
    words: str, settings: SshSettings, *, shown: str = "", unasked: str = "", expired: str = ""
) -> TransportError:
    """The error for an ssh that did not get there: its own words, and what to do.

    Args:
        words: what it wrote to standard error.
        shown: the key of a host that is not known, as `key_shown` says it.
        unasked: why nobody could be asked for a password or a code.
        expired: a certificate that has run out, and what to do about it.
    """
    host, said = settings.host, f"ssh said: {words}" if words else "ssh failed without a word"
    if is_unknown_host(words):
        return HostKeyError(
            f"{host}: the host is not known, or one on the way to it.{shown} {said}\nCompare the fingerprint with what "
            f"the site publishes; then run {by_hand(settings)} once, or set accept_new_host_key: true"
        )
    if _HOST_KEY.search(words):
        return HostKeyError(
            f"{host}: THE HOST KEY HAS CHANGED. {said}\nSomebody may be listening in, or the machine has been set up "
            "anew: ask the site. Only if they confirm it, forget the old key as ssh says above, and try again"
        )
    if _LOGIN.search(words):
        return LoginError(f"{host}: the login was refused. {said}\n{_advice(settings, unasked, expired)}")
    kind = TimedOut if _TIME.search(words) else TransportError
    return kind(f"{host}: not reached. {said}\nCheck the network and the VPN, or try again later")


def _advice(settings: SshSettings, unasked: str, expired: str) -> str:
    if expired:
        return expired
    asked = f"Nobody was asked for a password or a code: {unasked}. " if unasked else ""
    return (
        f"{asked}See what {by_hand(settings)} says. Where a code is wanted, open a connection yourself, with "
        "ControlMaster and ControlPath for this host in ~/.ssh/config, and leave it open: it will be used"
    )


def _quoted(path: Path) -> str:
    text = str(path)
    if '"' in text or not text.isprintable():
        raise ConfigError(f"{text!r} cannot stand in an ssh_config: it has a double quote or a control character")
    return f'"{text}"'
