"""The test cluster at the far end of a line that adds a round trip, as ssh and as a site. It measures nothing."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.testcluster import Cluster, bring_up

USER = "alice"


@dataclass(frozen=True)
class Far:
    """The cluster behind a line.

    Attributes:
        milliseconds: the round trip that is added.
        config: for ``ssh -F``; the host is called ``far``.
        work: a folder over there, below the home folder, for all that a benchmark makes.
        here: a folder for all that it makes here.
    """

    milliseconds: int
    config: Path
    port: int
    cluster: Cluster
    known_hosts: Path
    work: str
    here: Path
    relay: subprocess.Popen[str]

    def site_keys(self, transport: str) -> dict[str, object]:
        """The site, as the keys of its file."""
        ssh = {
            "user": USER,
            "port": self.port,
            "identity_file": str(self.cluster.folder / "id_ed25519"),
            "known_hosts": str(self.known_hosts),
        }
        site = self.cluster.site(
            "far", transport=transport, user=USER, host="127.0.0.1", ssh=ssh, work_dir=f"$HOME/{self.work}/work",
            limits={"poll_seconds": 0.01, "array_size": 1000},
        )  # fmt: skip
        settings: dict[str, object] = site.to_json()["settings"]
        return settings

    def ssh(self, command: str) -> str:
        """What a command prints over there, without the relay's delay being measured by anybody."""
        done = subprocess.run(
            ["ssh", "-F", str(self.config), "far", command], check=True, capture_output=True, text=True
        )
        return done.stdout

    def passed(self) -> tuple[int, int, int]:
        """Connections made so far, bytes up, bytes down."""
        assert self.relay.stdin and self.relay.stdout
        self.relay.stdin.write("\n")
        self.relay.stdin.flush()
        connections, up, down = map(int, self.relay.stdout.readline().split())
        return connections, up, down


@contextlib.contextmanager
def far_away(milliseconds: int) -> Iterator[Far]:
    """The cluster, so far away. What was made there and here is removed in the end; jobs are cancelled."""
    cluster, here = bring_up(), Path(tempfile.mkdtemp(prefix="scheduler-bench-"))
    relay = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("relay.py")), cluster.host, "22", str(milliseconds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert relay.stdout and relay.stdin
    port, work = int(relay.stdout.readline()), f"bench-{secrets.token_hex(4)}"
    known_hosts, config = here / "known_hosts", here / "ssh_config"
    keys = (line.split(" ", 1)[1] for line in (cluster.folder / "known_hosts").read_text().splitlines() if line)
    known_hosts.write_text("".join(f"[127.0.0.1]:{port} {key}\n" for key in keys))
    config.write_text(
        f"Host far\n  HostName 127.0.0.1\n  Port {port}\n  User {USER}\n  IdentitiesOnly yes\n  BatchMode yes\n"
        f"  IdentityFile {cluster.folder / 'id_ed25519'}\n  UserKnownHostsFile {known_hosts}\n"
        f"  ControlPath {here}/control\n"
    )
    far = Far(milliseconds, config, port, cluster, known_hosts, work, here, relay)
    try:
        far.ssh(f"mkdir {work}")
        yield far
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            far.ssh(f"scancel --name={work}; rm -rf {work} {work}.old")
        relay.stdin.close()
        relay.wait()
        shutil.rmtree(here)


def as_argument(value: object) -> str:
    """For another process."""
    return json.dumps(value)
