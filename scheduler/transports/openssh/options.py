"""Options and config files for OpenSSH's `ssh`, and the errors that its messages mean. Nothing is run here."""

from __future__ import annotations

import errno
import re
import shlex
from pathlib import Path

from scheduler.errors import ConfigError, HostKeyError, LoginError, TimedOut, TransportError
from scheduler.schema.regular_file import NotRegular, read_settings
from scheduler.transports.settings import SshSettings

_HOST_KEY = re.compile(
    r"host key verification failed|host identification has changed|host key is known for|revoked", re.I
)
_CHANGED = re.compile(r"host identification has changed", re.I)
_REVOKED_FILE = re.compile(r"error checking host key .* in revoked keys file", re.I)
_LOGIN = re.compile(
    r"permission denied \(|too many authentication failures|authentication methods available|unable to authenticate",
    re.I,
)
_TIMEOUT = re.compile(r"timed out|timeout, server", re.I)
_SENT_KEY = re.compile(r"debug1: Server host key: (\S+) (\S+)")

_CONFIG = """\
# Written by scheduler. ssh uses the first value of each option: ours, then the user's own files, then our defaults.
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


def config_text(settings: SshSettings, *, batch: bool) -> str:
    """The text of a config file for `ssh -F`; options on the command line would not apply to jump hosts.

    Args:
        settings: the site's settings.
        batch: ssh must not prompt (BatchMode).

    Raises:
        ConfigError: a path has a character that is not possible in a config file, or is no regular file.
    """
    for named in (settings.known_hosts, settings.identity_file, settings.config_file):
        if named:
            _refuse_special_file(Path(named).expanduser())
    known_hosts = ""
    if settings.known_hosts:
        path = _quoted(Path(settings.known_hosts).expanduser())
        known_hosts = f"UserKnownHostsFile {path}\nGlobalKnownHostsFile /dev/null\n"
    own = _quoted(Path(settings.config_file).expanduser()) if settings.config_file else "~/.ssh/config"
    system_wide = "" if settings.config_file else "\nMatch all\nInclude /etc/ssh/ssh_config"
    return _CONFIG.format(
        batch="yes" if batch else "no",
        strict="accept-new" if settings.accept_new_host_key else "yes",
        known_hosts=known_hosts,
        include=f"Include {own}{system_wide}",
        seconds=max(1.0, settings.connect_timeout),
    )


def _refuse_special_file(path: Path) -> None:
    """Refuse a file that ssh would read without end, or would wait for. A missing one is reported by ssh."""
    try:
        read_settings(path)
    except OSError as error:
        if isinstance(error, NotRegular) or error.errno == errno.EFBIG:
            raise ConfigError(f"{path}: {error.strerror}; name another file in the site file") from error


def target(settings: SshSettings) -> list[str]:
    """The site's settings and its host, as the last arguments of an ssh command."""
    options = {
        "-l": settings.user,
        "-p": settings.port,
        "-i": Path(settings.identity_file).expanduser() if settings.identity_file else None,
        "-J": settings.proxy_jump,
    }
    words = [word for name, value in options.items() if value for word in (name, str(value))]
    return [*words, "--", settings.host]


def user_command(settings: SshSettings) -> str:
    """The ssh command with which the user logs in themselves."""
    known = ["-o", f"UserKnownHostsFile={settings.known_hosts}"] if settings.known_hosts else []
    return f"`{shlex.join(['ssh', *known, *(word for word in target(settings) if word != '--')])}`"


def sent_host_key(debug: str) -> str:
    """A sentence with the host key that the last host of the chain sent, from the output of `ssh -v`; may be empty."""
    keys = _SENT_KEY.findall(debug)
    return f" The host sent its {keys[-1][0]} key {keys[-1][1]}." if keys else ""


def certificates_in(config: str) -> list[Path]:
    """The certificate files that ssh would use, from the output of `ssh -G`."""
    lines = [line.partition(" ") for line in config.splitlines()]
    keys = [value for name, _, value in lines if name == "identityfile"]
    named = [value for name, _, value in lines if name == "certificatefile"]
    paths = [*(f"{key.removesuffix('.pub')}-cert.pub" for key in keys), *named]
    return [Path(path).expanduser() for path in paths]


def is_behind_a_proxy(stderr: str) -> bool:
    """The ssh of a jump host failed; ssh discards its stderr if the connection is shared (sshconnect.c)."""
    return "UNKNOWN port 65535" in stderr and not _HOST_KEY.search(stderr)


def without_debugging(stderr: str) -> str:
    """The output of `ssh -v` without what only -v prints."""
    lines = stderr.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("debug1: ", "OpenSSH_"))).strip()


def is_login_refused(stderr: str) -> bool:
    """The host was reached, and authentication failed."""
    return bool(_LOGIN.search(stderr)) and not _HOST_KEY.search(stderr)


def is_unknown_host(stderr: str) -> bool:
    """Host key verification failed because the host is unknown, not because its key has changed or is revoked."""
    return bool(_HOST_KEY.search(stderr)) and not _CHANGED.search(stderr) and "revoked" not in stderr.lower()


def error_of(
    stderr: str, settings: SshSettings, *, host_key: str = "", no_prompt: str = "", expired: str = ""
) -> TransportError:
    """The error for an ssh that did not connect: its own message, unedited, and what to do.

    Args:
        stderr: the standard error of ssh.
        settings: the site's settings.
        host_key: a sentence with the key of an unknown host, from `sent_host_key`.
        no_prompt: why ssh could not prompt for a password or a one-time code, as a clause; empty if it could.
        expired: a sentence on an expired certificate, and what to do about it.
    """
    host, printed = settings.host, f"ssh printed: {stderr}" if stderr else "ssh failed without output"
    if is_unknown_host(stderr):
        return HostKeyError(
            f"{host}: host key verification failed: the host or a jump host is unknown.{host_key} {printed}\n"
            f"Compare the fingerprint with the one that the site publishes; then run {user_command(settings)} once, or "
            "set accept_new_host_key: true"
        )
    if _REVOKED_FILE.search(stderr):
        do = "correct RevokedHostKeys in your ssh_config: a file that it names cannot be used, so no key is accepted"
        return HostKeyError(f"{host}: host key verification failed. {printed}\n{do.capitalize()}", advice=do)
    if _HOST_KEY.search(stderr) and not _CHANGED.search(stderr):
        do = "ask the site's support for its present key, by another way than this host"
        return HostKeyError(
            f"{host}: host key verification failed: the host key is revoked: whoever has this key may pretend to be "
            f"the host. {printed}\nDo not connect to this host; {do}",
            advice=do,
        )
    if _HOST_KEY.search(stderr):
        return HostKeyError(
            f"{host}: host key verification failed: REMOTE HOST IDENTIFICATION HAS CHANGED. {printed}\nThis may be a "
            "man-in-the-middle attack, or the host was reinstalled: ask the site. Only if the site confirms the new "
            "key, remove the old one with the command that ssh names above, and retry",
            advice="ask the site whether its host key has changed, and compare the new fingerprint with theirs",
        )
    if _LOGIN.search(stderr):
        return LoginError(f"{host}: authentication failed. {printed}\n{_login_advice(settings, no_prompt, expired)}")
    kind = TimedOut if _TIMEOUT.search(stderr) else TransportError
    return kind(f"{host}: not reached. {printed}\nCheck the network and the VPN, or try again later")


def _login_advice(settings: SshSettings, no_prompt: str, expired: str) -> str:
    if expired:
        return expired
    reason = f"ssh could not prompt for a password or a one-time code: {no_prompt}. " if no_prompt else ""
    return (
        f"{reason}See what {user_command(settings)} prints. If the host requires a one-time code, open a connection "
        "yourself, with ControlMaster and ControlPath for this host in ~/.ssh/config, and leave it open"
    )


def _quoted(path: Path) -> str:
    text = str(path)
    if '"' in text or not text.isprintable():
        raise ConfigError(
            f"{text!r} is not possible in an ssh_config file: it has a double quote or a control character"
        )
    return f'"{text}"'
