"""The test cluster behind a relay that adds a round trip, for ssh and as a site. It measures nothing."""

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
    """The test cluster behind the relay.

    Attributes:
        milliseconds: the round trip that the relay adds.
        config: for ``ssh -F``; the host is called ``far``.
        port: of the relay, on 127.0.0.1.
        cluster: the test cluster itself.
        known_hosts: the host keys, under the address of the relay.
        work: the remote folder of all files of the benchmark, relative to the home folder.
        local: the local folder of all files of the benchmark.
        relay: the process of `relay.py`.
    """

    milliseconds: int
    config: Path
    port: int
    cluster: Cluster
    known_hosts: Path
    work: str
    local: Path
    relay: subprocess.Popen[str]

    def site_keys(self, transport: str) -> dict[str, object]:
        """The site with this transport, as the settings of a site file."""
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
        """Run a remote command that is not measured, and return its stdout."""
        done = subprocess.run(
            ["ssh", "-F", str(self.config), "far", command], check=True, capture_output=True, text=True
        )
        return done.stdout

    def passed(self) -> tuple[int, int, int]:
        """Return the number of connections so far, the bytes uploaded and the bytes downloaded."""
        assert self.relay.stdin and self.relay.stdout
        self.relay.stdin.write("\n")
        self.relay.stdin.flush()
        connections, up, down = map(int, self.relay.stdout.readline().split())
        return connections, up, down


@contextlib.contextmanager
def far_away(milliseconds: int) -> Iterator[Far]:
    """Bring up the cluster and the relay; at the end cancel the jobs and delete remote and local files."""
    cluster, local = bring_up(), Path(tempfile.mkdtemp(prefix="scheduler-bench-"))
    relay = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("relay.py")), cluster.host, "22", str(milliseconds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert relay.stdout and relay.stdin
    port, work = int(relay.stdout.readline()), f"bench-{secrets.token_hex(4)}"
    known_hosts, config = local / "known_hosts", local / "ssh_config"
    keys = (line.split(" ", 1)[1] for line in (cluster.folder / "known_hosts").read_text().splitlines() if line)
    known_hosts.write_text("".join(f"[127.0.0.1]:{port} {key}\n" for key in keys))
    config.write_text(
        f"Host far\n  HostName 127.0.0.1\n  Port {port}\n  User {USER}\n  IdentitiesOnly yes\n  BatchMode yes\n"
        f"  IdentityFile {cluster.folder / 'id_ed25519'}\n  UserKnownHostsFile {known_hosts}\n"
        f"  ControlPath {local}/control\n"
    )
    far = Far(milliseconds, config, port, cluster, known_hosts, work, local, relay)
    try:
        far.ssh(f"mkdir {work}")
        yield far
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            far.ssh(f"scancel --name={work}; rm -rf {work} {work}.old")
        relay.stdin.close()
        relay.wait()
        shutil.rmtree(local)


def as_argument(value: object) -> str:
    """The value as JSON, for the command line of another process."""
    return json.dumps(value)
