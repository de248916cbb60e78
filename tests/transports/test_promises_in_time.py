"""The promises of every transport on time: timeouts, lost connections, child processes, streams, threads."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scheduler.errors import TimedOut, TransportError
from scheduler.transports.base import Program, Transport

from .test_promises import CAT, ECHO


def test_a_killed_shell_is_a_lost_connection(transport: Transport) -> None:
    with pytest.raises(TransportError, match="partly or not at all") as caught:
        transport.run(Program("killed", "echo part; echo 'so far' >&2; kill -9 $$; exit 0"), timeout=200)
    assert not isinstance(caught.value, TimedOut)
    assert "so far" in str(caught.value)
    assert transport.run(ECHO, ["still here"]).stdout == b"still here\0"


def test_after_a_timeout_the_next_program_runs(transport: Transport) -> None:
    started = time.monotonic()
    with pytest.raises(TimedOut, match="sleepy"):
        transport.run(Program("sleepy", "sleep 600"), timeout=0.5)
    assert time.monotonic() - started < 300
    assert transport.run(ECHO, ["still here"]).stdout == b"still here\0"


def test_a_slow_program_that_prints_sometimes_does_not_time_out(plain_transport: Transport) -> None:
    text = "for i in 1 2 3 4 5 6; do echo $i; sleep 1.2; done"
    assert plain_transport.run(Program("slow", text), timeout=6).out.split() == list("123456")


def test_a_program_that_prints_a_byte_from_time_to_time_ends_at_its_deadline(transport: Transport) -> None:
    for where in ("", " >&2"):
        program = Program("dripping", f"while :; do printf x{where}; sleep 0.1; done", longest_seconds=1.0)
        with pytest.raises(TimedOut, match="dripping: timed out: data still arrives"):
            transport.run(program, timeout=600)
    assert transport.run(ECHO, ["still here"]).stdout == b"still here\0"


def test_the_deadline_grows_with_the_bytes_of_a_transfer(plain_transport: Transport) -> None:
    text = "for i in 1 2 3 4; do head -c 1000000 /dev/zero; sleep 0.6; done"
    received: list[int] = []
    program = Program("large", text, longest_seconds=0.5)
    plain_transport.run(program, stdout=lambda piece: received.append(len(piece)), timeout=600)
    assert sum(received) == 4_000_000
    text = "for i in 1 2 3 4; do head -c 100000 >/dev/null; sleep 0.6; done; cat >/dev/null; echo read"
    reply = plain_transport.run(Program("large", text, longest_seconds=0.5), stdin=bytes(8_000_000), timeout=600)
    assert reply.out == "read\n"


def test_a_program_that_reads_a_byte_from_time_to_time_ends_at_its_deadline(plain_transport: Transport) -> None:
    text = "while :; do printf .; head -c 1 >/dev/null; sleep 0.1; done"
    with pytest.raises(TimedOut, match="has not ended"):
        plain_transport.run(Program("sipping", text, longest_seconds=1.0), stdin=bytes(8_000), timeout=600)


def test_a_program_that_reads_slowly_does_not_time_out(plain_transport: Transport) -> None:
    text = "for i in 1 2 3 4 5 6; do head -c 1000000 >/dev/null; sleep 1.2; done; wc -c"
    reply = plain_transport.run(Program("slow reader", text), stdin=bytes(8_000_000), timeout=6)
    assert reply.out.split() == ["2000000"]


def test_a_background_process_keeps_running_and_does_not_delay_the_reply(transport: Transport, tmp_path: Path) -> None:
    done, go = tmp_path / "it's done", tmp_path / "go"
    loop = 'until [ -e "$1" ]; do sleep 0.1; done; echo "$0" >"$0"'
    text = f'nohup sh -c \'{loop}\' "$1" "$2" </dev/null >/dev/null 2>&1 & echo started'
    assert transport.run(Program("daemon", text), [str(done), str(go)]).stdout == b"started\n"
    transport.close()
    assert not done.exists()
    go.touch()
    _wait_for(done)


def test_a_child_that_keeps_stdout_open_does_not_delay_the_reply(transport: Transport) -> None:
    started = time.monotonic()
    assert transport.run(Program("careless", "sleep 300 & echo started; exit 6")).exit_code == 6
    assert time.monotonic() - started < 200


def test_output_is_passed_on_when_it_arrives(transport: Transport, tmp_path: Path) -> None:
    """The program prints its second line only after the first one has arrived."""
    output, arrived = bytearray(), tmp_path / "arrived"

    def receive(piece: bytes) -> None:
        output.extend(piece)
        arrived.touch()

    program = Program("ticker", 'echo one; until [ -e "$1" ]; do sleep 0.1; done; echo two')
    reply = transport.run(program, [str(arrived)], stdout=receive)
    assert output == b"one\ntwo\n"
    assert reply.stdout == b""


def test_an_exception_of_the_stdout_callback_is_raised_unchanged(plain_transport: Transport) -> None:
    def full_disk(piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        plain_transport.run(Program("speaker", "echo hello"), stdout=full_disk)
    assert not isinstance(caught.value, TransportError)
    assert plain_transport.run(ECHO, ["still here"]).stdout == b"still here\0"


def test_an_exception_while_producing_input_is_raised_unchanged(plain_transport: Transport) -> None:
    def unreadable() -> Iterator[bytes]:
        yield b"some"
        raise PermissionError("no such luck")

    with pytest.raises(PermissionError, match="no such luck"):
        plain_transport.run(CAT, stdin=unreadable())
    assert plain_transport.run(ECHO, ["still here"]).stdout == b"still here\0"


def test_many_threads_run_at_once(transport: Transport) -> None:
    def run(number: int) -> bytes:
        data = str(number).encode() * 100_000
        assert transport.run(CAT, stdin=data).stdout == data
        return transport.run(ECHO, [str(number)]).stdout

    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(run, range(24)))
    assert replies == [f"{number}\0".encode() for number in range(24)]


def test_input_is_produced_no_faster_than_it_is_read(plain_transport: Transport) -> None:
    produced = 0

    def chunks() -> Iterator[bytes]:
        nonlocal produced
        for _ in range(400):
            produced += 65536
            yield bytes(65536)

    at_first_output: list[int] = []
    program = Program("slow start", "sleep 1; echo ready; wc -c")
    plain_transport.run(program, stdin=chunks(), stdout=lambda _: at_first_output.append(produced))
    assert at_first_output[0] < 6_000_000
    assert produced == 400 * 65536


@pytest.mark.slow
def test_streaming_needs_constant_memory(plain_transport: Transport) -> None:
    megabyte, most = bytes(1 << 20), 0

    def chunks() -> Iterator[bytes]:
        nonlocal most
        for _ in range(200):
            most = max(most, _resident_megabytes())
            yield megabyte

    before = _resident_megabytes()
    received = 0

    def receive(piece: bytes) -> None:
        nonlocal received
        received += len(piece)

    assert plain_transport.run(CAT, stdin=chunks(), stdout=receive).exit_code == 0
    assert received == 200 << 20
    assert most - before < 80


def _resident_megabytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def _wait_for(path: Path, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not made"
        time.sleep(0.05)
