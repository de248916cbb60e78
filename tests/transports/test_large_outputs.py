"""Large outputs over `transport: openssh`: several channels, servers with few sessions, lost connections."""

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


class ManyStreams(Counting):
    """Another transport that asks for several download streams, as with a long round trip."""

    def download_streams(self) -> int:
        return CHANNELS


@pytest.fixture
def far(tmp_path: Path) -> RemoteJob:
    bundle, inside = remote_bundle(tmp_path, "output 0 '*.root' ./*.root")
    (inside / "large.root").write_bytes(os.urandom(1 << 20) * (CHANNELS * LEAST_BYTES >> 20) + b"end")
    return RemoteJob(bundle, inside / "large.root", tmp_path / "home")


def is_complete(far: RemoteJob) -> bool:
    return (far.local / far.output.name).read_bytes() == far.output.read_bytes() and not far.parts


@pytest.mark.parametrize("sessions", [1, 2, 3, 10])
def test_an_output_is_complete_for_any_number_of_sessions(
    start_server: Callable[..., Sshd], far: RemoteJob, sessions: int
) -> None:
    server = start_server(extra=f"MaxSessions {sessions}")
    with ManyStreams(OpensshTransport(server.settings)) as transport:
        far.collect(transport)
        assert is_complete(far)
        assert transport.ran.count("fetch") >= CHANNELS


@pytest.mark.parametrize("sessions", [1, 2, 3])
def test_an_output_is_complete_if_no_second_login_is_possible(
    start_server: Callable[..., Sshd], far: RemoteJob, sessions: int
) -> None:
    """After a refused session, ssh tries a new connection by itself."""
    server = start_server(extra=f"MaxSessions {sessions}")
    with ManyStreams(OpensshTransport(server.settings)) as transport:
        transport.run(Program("true", ":"))
        server.folder.joinpath("authorized_keys").rename(server.folder / "removed")
        far.collect(transport)
        assert is_complete(far)


def test_a_partial_download_is_resumed_after_a_lost_connection(server: Sshd, far: RemoteJob, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    budget = iter([3_000_000, 15_000_000, None])
    with Relay(server.port, budget=lambda: next(budget, None)) as relay:
        known.write_text(f"[127.0.0.1]:{relay.port} {server.public_key('ed25519')}\n")
        settings = replace(server.settings, port=relay.port, known_hosts=str(known))
        with ManyStreams(OpensshTransport(settings)) as transport:
            with pytest.raises(TransportError):
                far.collect(transport)
            while relay.cuts < 2:  # bytes of the first connection may have used up the second budget
                with contextlib.suppress(TransportError):
                    far.collect(transport)
            assert sum(part.stat().st_size for part in far.parts) > 0
            far.collect(transport)
        assert is_complete(far)
        assert relay.cuts == 2


def test_the_round_trip_is_measured_once(server: Sshd) -> None:
    programs: list[str] = []

    class Recording(OpensshTransport):
        def run(self, program: Program, args: Sequence[str | Expanded] = (), **streams: Unpack[Streams]) -> Reply:
            programs.append(program.name)
            return super().run(program, args, **streams)

    with Recording(server.settings) as transport:
        assert all(1 <= streams() <= 8 for streams in (transport.upload_streams, transport.download_streams))
    assert programs == ["echo"]


def test_after_a_refused_session_one_stream_is_used(
    start_server: Callable[..., Sshd],
) -> None:
    class LongRoundTrip(OpensshTransport):
        def _measure_round_trip(self) -> float:
            return 0.05

    server = start_server(extra="MaxSessions 1")
    with LongRoundTrip(server.settings) as transport, ThreadPoolExecutor(3) as pool:
        assert transport.upload_streams() == transport.download_streams() == 7
        list(pool.map(lambda _: transport.run(Program("true", "sleep 3")), range(3)))
        assert transport.upload_streams() == transport.download_streams() == 1


def test_other_transports_download_with_one_stream(plain_transport: Transport) -> None:
    if not isinstance(plain_transport, OpensshTransport):
        assert plain_transport.download_streams() == 1
