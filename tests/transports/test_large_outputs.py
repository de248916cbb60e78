"""A large output through OpenSSH's own ssh: over several channels, whatever the server gives, and after a cut."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scheduler import TransportError
from scheduler.engine.collect.stripes import LEAST_BYTES
from scheduler.transports.base import Expanded, Program, Reply, Transport
from scheduler.transports.openssh.transport import OpensshTransport
from tests.engine.collect.test_fetch import remote_bundle
from tests.engine.collect.test_resumable import RemoteJob
from tests.wrapped import Counting

from .relay import Relay
from .sshd import Sshd

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tests.wrapped import Streams

CHANNELS = 4


class Distant(Counting):
    """Another transport, as if its machine was far away."""

    def download_streams(self) -> int:
        return CHANNELS


@pytest.fixture
def far(tmp_path: Path) -> RemoteJob:
    bundle, inside = remote_bundle(tmp_path, "output 0 '*.root' ./*.root")
    (inside / "large.root").write_bytes(os.urandom(1 << 20) * (CHANNELS * LEAST_BYTES >> 20) + b"end")
    return RemoteJob(bundle, inside / "large.root", tmp_path / "home")


def came_whole(far: RemoteJob) -> bool:
    return (far.local / far.output.name).read_bytes() == far.output.read_bytes() and not far.parts


@pytest.mark.parametrize("sessions", [1, 2, 3, 10])
def test_it_comes_whole_however_many_sessions_a_server_gives(
    start_server: Callable[..., Sshd], far: RemoteJob, sessions: int
) -> None:
    server = start_server(extra=f"MaxSessions {sessions}")
    with Distant(OpensshTransport(server.settings)) as line:
        far.collect(line)
        assert came_whole(far)
        assert line.ran.count("fetch") >= CHANNELS


@pytest.mark.parametrize("sessions", [1, 2, 3])
def test_it_comes_whole_where_a_second_login_needs_a_person(
    start_server: Callable[..., Sshd], far: RemoteJob, sessions: int
) -> None:
    """A session that is refused is tried by ssh over a connection of its own."""
    server = start_server(extra=f"MaxSessions {sessions}")
    with Distant(OpensshTransport(server.settings)) as line:
        line.run(Program("true", ":"))
        server.folder.joinpath("authorized_keys").rename(server.folder / "taken")
        far.collect(line)
        assert came_whole(far)


def test_a_cut_line_is_gone_on_with(server: Sshd, far: RemoteJob, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    budget = iter([3_000_000, 15_000_000, None])
    with Relay(server.port, budget=lambda: next(budget, None)) as relay:
        known.write_text(f"[127.0.0.1]:{relay.port} {server.public_key('ed25519')}\n")
        settings = replace(server.settings, port=relay.port, known_hosts=str(known))
        with Distant(OpensshTransport(settings)) as line:
            with pytest.raises(TransportError):
                far.collect(line)
            while relay.cuts < 2:  # what was still on the first line when it was cut may have used up the second one
                with contextlib.suppress(TransportError):
                    far.collect(line)
            assert sum(part.stat().st_size for part in far.parts) > 0
            far.collect(line)
        assert came_whole(far)
        assert relay.cuts == 2


def test_how_long_the_line_is_is_asked_once(server: Sshd) -> None:
    asked: list[str] = []

    class Noting(OpensshTransport):
        def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
            asked.append(program.name)
            return super().run(program, args, **streams)

    with Noting(server.settings) as line:
        assert all(1 <= ask() <= 8 for ask in (line.upload_streams, line.download_streams))
    assert asked == ["echo"]


def test_a_server_that_has_refused_a_session_is_asked_for_no_second_one_again(
    start_server: Callable[..., Sshd],
) -> None:
    class Distant(OpensshTransport):
        def _measured(self) -> float:
            return 0.05

    server = start_server(extra="MaxSessions 1")
    with Distant(server.settings) as line, ThreadPoolExecutor(3) as pool:
        assert line.upload_streams() == line.download_streams() == 7
        list(pool.map(lambda _: line.run(Program("true", "sleep 3")), range(3)))
        assert line.upload_streams() == line.download_streams() == 1


def test_other_lines_are_asked_for_no_more_than_one_channel_home(plain_transport: Transport) -> None:
    if not isinstance(plain_transport, OpensshTransport):
        assert plain_transport.download_streams() == 1
