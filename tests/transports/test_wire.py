"""The encoding of programs, and how the decoder finds the program's bytes in all that arrives."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scheduler.errors import JobError, TransportError
from scheduler.transports.base import Expanded, Program
from scheduler.transports.exchange import Exchange, InputFeed
from scheduler.transports.wire import Decoder, encode

NONCE = "0123456789abcdef"
BEGIN = f"=={NONCE}:begin==\n".encode()
END = f"=={NONCE}:end:{{}}==\n"
STEM = f"=={NONCE}:end:".encode()
WHOLE_END = re.compile(STEM + rb"\d{1,3}==\n")
OTHER = b"==fedcba9876543210:end:0==\n"

look_alikes = st.sampled_from(
    [b"=", b"==", BEGIN, BEGIN[:-1], STEM, STEM[:-1], STEM[:5], OTHER, b"\n", b":end:0==\n", b"==\n"]
)
payloads = st.lists(st.one_of(st.binary(max_size=40), look_alikes), max_size=12).map(b"".join)
banners = st.lists(st.one_of(st.binary(max_size=40), look_alikes.filter(lambda word: word != BEGIN))).map(b"".join)


def chunks_of(stream: bytes, positions: list[int]) -> list[bytes]:
    """`stream` divided into chunks at these positions."""
    edges = [0, *sorted(position % (len(stream) + 1) for position in positions), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@given(
    banner=banners,
    payload=payloads,
    code=st.integers(0, 255),
    after=st.binary(max_size=20),
    positions=st.lists(st.integers(0, 10_000), max_size=30),
)
def test_the_payload_does_not_depend_on_the_chunks(
    banner: bytes, payload: bytes, code: int, after: bytes, positions: list[int]
) -> None:
    assume(
        BEGIN not in banner + BEGIN[:-1] and not WHOLE_END.search(payload)
    )  # only the program's own frame has the nonce
    stream = banner + BEGIN + payload + END.format(code).encode() + after
    decoder = Decoder(NONCE)
    decoded = b"".join(decoder.feed(chunk) for chunk in chunks_of(stream, positions))
    assert (decoder.started, decoder.exit_code, decoded) == (True, code, payload)


@given(payload=payloads, positions=st.lists(st.integers(0, 10_000), max_size=30))
def test_without_an_end_marker_the_payload_is_complete_after_flush(payload: bytes, positions: list[int]) -> None:
    decoder = Decoder(NONCE)
    assume(not WHOLE_END.search(payload))
    decoded = b"".join(decoder.feed(chunk) for chunk in chunks_of(BEGIN + payload, positions))
    assert decoder.exit_code is None
    assert decoded + decoder.flush() == payload


@given(payload=st.binary(max_size=2000))
def test_only_a_prefix_of_the_end_marker_is_held_back(payload: bytes) -> None:
    decoder = Decoder(NONCE)
    decoded = decoder.feed(BEGIN + payload)
    assert len(payload) - len(decoded) < len(STEM)
    assert STEM.startswith(payload[len(decoded) :])


def test_a_stream_of_single_bytes_is_decoded() -> None:
    stream = b"motd\n" + BEGIN + bytes(range(256)) + END.format(17).encode()
    decoder = Decoder(NONCE)
    decoded = b"".join(decoder.feed(bytes([byte])) for byte in stream)
    assert (decoded, decoder.exit_code) == (bytes(range(256)), 17)


def test_bytes_after_the_end_marker_are_discarded() -> None:
    decoder = Decoder(NONCE)
    assert decoder.feed(BEGIN + b"output" + END.format(0).encode() + b"logout\n") == b"output"
    assert decoder.feed(b"more") == b""


def test_only_the_first_bytes_of_login_output_are_kept() -> None:
    decoder = Decoder(NONCE)
    for _ in range(3000):
        assert decoder.feed(b"x" * 1000) == b""
    assert decoder.feed(BEGIN + b"hello" + END.format(0).encode()) == b"hello"
    assert len(decoder.preamble) == 2000


def test_the_login_shell_gets_one_fixed_command_line() -> None:
    call = encode(Program("any", "echo 'secret of a job'"), ["another secret"])
    assert call.command == f"exec /bin/sh -c 'eval \"$(command -p head -c {len(call.opening)})\"'"
    assert b"another secret" in call.opening


def test_each_run_has_its_own_markers() -> None:
    program = Program("any", "")
    assert encode(program).nonce != encode(program).nonce


def test_the_encoded_program_contains_no_marker() -> None:
    call = encode(Program("any", "echo hello"), nonce=NONCE)
    assert BEGIN.strip() not in call.opening
    assert STEM not in call.opening


def test_an_argument_with_a_nul_is_refused() -> None:
    with pytest.raises(JobError, match="NUL"):
        encode(Program("any", ""), ["a\0b"])


def test_an_argument_that_is_not_valid_unicode_is_refused() -> None:
    with pytest.raises(JobError, match="Unicode"):
        encode(Program("any", ""), [b"caf\xe9".decode("utf-8", "surrogateescape")])


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_an_encoded_program_runs(shell: str) -> None:
    call = encode(Program("any", 'echo "$1$2"; exit 3'), ["a b", Expanded('"${HOME:+c}"')], nonce=NONCE)
    done = subprocess.run([shell, "-c", call.command], input=call.opening, capture_output=True)
    assert done.stdout == BEGIN + b"a bc\n" + END.format(3).encode()
    assert done.stderr == BEGIN + END.format(3).encode()


def exchange(program: str = "poll") -> Exchange:
    return Exchange(Program(program, "true"), (), stdin=b"", stdout=None, where="ifarm")


def test_the_output_of_a_login_shell_that_exits_early_is_quoted() -> None:
    run = exchange()
    run.receive_stdout(b"\nYour password has expired.\nChange it now:\n")
    with pytest.raises(TransportError) as caught:
        run.reply()
    message = str(caught.value)
    assert "ifarm: poll was not started" in message
    assert "Your password has expired. / Change it now:" in message


def test_its_standard_error_is_quoted_too() -> None:
    run = exchange()
    run.receive_stderr(b"This account is currently not available.\n")
    with pytest.raises(TransportError, match="currently not available"):
        run.reply()


def test_a_login_shell_that_exits_without_output_is_reported() -> None:
    with pytest.raises(TransportError, match="ifarm: poll was not started: the login shell exited without output"):
        exchange().reply()


def test_the_message_for_a_lost_connection_reports_that_the_program_may_have_run() -> None:
    with pytest.raises(TransportError, match="partly or not at all"):
        exchange().reply(connection_lost=True)


def test_the_last_output_before_a_lost_connection_is_quoted() -> None:
    run = exchange()
    run.receive_stderr(b"Command rejected: not on the list\n")
    with pytest.raises(TransportError, match="partly or not at all") as caught:
        run.reply(connection_lost=True)
    assert "(last output: 'Command rejected: not on the list')" in str(caught.value)


def test_chunks_of_input_are_produced_on_demand() -> None:
    made: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            yield b"" if number == 1 else b"abc"

    feed = InputFeed(b"program", chunks())
    assert (feed.peek(4), feed.opening_sent) == (b"prog", False)
    feed.advance(4)
    assert feed.peek(100) == b"ram"
    feed.advance(3)
    assert (feed.opening_sent, made) == (True, [])
    assert (feed.peek(2), feed.peek(100), made) == (b"ab", b"abc", [0])
    feed.advance(3)
    assert (feed.peek(100), made) == (b"abc", [0, 1, 2])
    feed.advance(3)
    assert feed.peek(100) == b""


LOGIN_FILES = {
    "exec sh": "starts another shell",
    "exec bash --login": "starts another shell",
    "read first": "reads standard input",
    "read first; read second; read third": "reads standard input",
    "cat >/dev/null": "must neither end the shell nor read standard input",
    "head -c 10 >/dev/null": "must neither end the shell nor read standard input",
    "exit": "must neither end the shell nor read standard input",
}


@pytest.mark.parametrize("shell", ["bash", "dash", "busybox sh"])
@pytest.mark.parametrize(("line", "words"), LOGIN_FILES.items())
def test_a_login_file_that_takes_the_program_is_named_and_no_data_is_executed(
    tmp_path: Path, shell: str, line: str, words: str
) -> None:
    if not shutil.which(shell.split()[0]):
        pytest.skip(f"{shell} is not installed")
    run = exchange()
    sent = run.input.peek(1 << 20) + b"touch executed\n" * 9
    done = subprocess.run(
        [*shell.split(), "-c", f"{line}; {run.command}"], input=sent, capture_output=True, cwd=tmp_path, timeout=600
    )
    run.receive_stdout(done.stdout)
    run.receive_stderr(done.stderr)
    with pytest.raises(TransportError, match="was not started") as caught:
        run.reply()
    assert words in str(caught.value) and "~/.bashrc" in str(caught.value)
    assert "quota" not in str(caught.value)
    assert not list(tmp_path.iterdir())
