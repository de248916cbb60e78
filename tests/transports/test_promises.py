"""The promises of every transport: arguments, bytes, exit codes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.quoting import quote, quote_path
from scheduler.transports.base import Expanded, Program, Transport

ECHO = Program("echo", 'printf "%s\\0" "$@"')
CAT = Program("cat", "cat")
ALL_BYTES = bytes(range(256))
HOSTILE = [
    "", " ", "a b", "it's", '"', "\\", "\\\\n", "$HOME", "${HOME}", "$(id)", "`id`", "!", "!!", "!x", "*",
    "~", "a\nb", "\n", "\t", "-n", "--", ";", "&&", "|", "<", ">", "#", "%s", "é ü 中 🚀", "\x01\x7f", "a" * 5000,
]  # fmt: skip


def test_every_argument_arrives_unchanged(transport: Transport) -> None:
    reply = transport.run(ECHO, HOSTILE)
    assert reply.stdout.decode().split("\0")[:-1] == HOSTILE


def test_a_path_is_expanded_on_the_host(transport: Transport) -> None:
    home = transport.run(Program("home", 'printf %s "$HOME"')).stdout
    reply = transport.run(ECHO, [Expanded(quote_path("~/a b/`id`", what="work_dir"))])
    assert reply.stdout == home + b"/a b/`id`\0"


def test_an_unset_variable_ends_the_program_with_an_error_that_names_it(transport: Transport) -> None:
    reply = transport.run(ECHO, [Expanded(quote_path("$NO_SUCH_THING/a", what="work_dir"))])
    assert reply.exit_code != 0
    assert "NO_SUCH_THING" in reply.err


def test_every_byte_value_arrives_in_both_directions(transport: Transport) -> None:
    assert transport.run(CAT, stdin=ALL_BYTES * 3).stdout == ALL_BYTES * 3


def test_standard_input_of_the_program_is_its_own_data_only(transport: Transport) -> None:
    reply = transport.run(Program("wc", "wc -c"), stdin=b"12345")
    assert reply.out.split() == ["5"]
    assert transport.run(Program("wc", "wc -c")).out.split() == ["0"]


def test_five_megabytes_are_transferred_in_both_directions_at_once(transport: Transport) -> None:
    data = os.urandom(5_000_000)
    assert transport.run(CAT, stdin=data).stdout == data


def test_output_before_any_input_is_read_does_not_block(transport: Transport) -> None:
    program = Program("late reader", "head -c 3000000 /dev/zero; wc -c >&2")
    reply = transport.run(program, stdin=bytes(3_000_000))
    assert len(reply.stdout) == 3_000_000
    assert reply.err.split() == ["3000000"]


def test_a_large_standard_error_does_not_block(transport: Transport) -> None:
    reply = transport.run(Program("loud", "head -c 3000000 /dev/zero >&2; echo done"))
    assert reply.stdout == b"done\n"
    assert len(reply.stderr) == 3_000_000


@pytest.mark.parametrize("code", [0, 1, 2, 77, 126, 127, 128, 254, 255])
def test_the_exit_code_is_that_of_the_program(plain_transport: Transport, code: int) -> None:
    assert plain_transport.run(Program("exit", f"exit {code}; echo not here")).exit_code == code


def test_the_exit_code_arrives_through_every_login_shell(transport: Transport) -> None:
    assert transport.run(Program("exit", "echo before; (exit 3); exit 255")).exit_code == 255


def test_standard_error_is_separate(transport: Transport) -> None:
    reply = transport.run(Program("both", "echo out; echo err >&2; echo out again; exit 4"))
    assert (reply.program, reply.exit_code) == ("both", 4)
    assert (reply.out, reply.err) == ("out\nout again\n", "err\n")


def test_a_program_without_output_has_an_empty_reply(transport: Transport) -> None:
    reply = transport.run(Program("true", ""))
    assert (reply.exit_code, reply.stdout, reply.stderr) == (0, b"", b"")


def test_output_may_end_without_a_newline(transport: Transport) -> None:
    assert transport.run(Program("printf", "printf no-newline; printf =")).stdout == b"no-newline="


def test_a_syntax_error_in_the_program_is_reported_in_its_stderr(transport: Transport) -> None:
    reply = transport.run(Program("broken", "echo one\nif then ) fi '"))
    assert reply.exit_code == 2
    assert "yntax error" in reply.err or "nterminated" in reply.err


def test_a_program_may_have_many_lines_quotes_and_a_here_document(transport: Transport) -> None:
    text = "set -eu\ncat <<'END'\nit's $HOME ! ` \\\nEND\nfalse\necho not here"
    reply = transport.run(Program("lines", text))
    assert (reply.exit_code, reply.out) == (1, "it's $HOME ! ` \\\n")


def test_a_long_program_arrives_complete(transport: Transport) -> None:
    words = [f"job-{number:06d}" for number in range(20_000)]
    reply = transport.run(Program("count", 'echo "$#" "$20000"; echo "${20000}"'), words)
    assert reply.out.splitlines()[0].startswith("20000 ")
    assert reply.out.splitlines()[1] == "job-019999"


def test_the_exit_code_of_a_killed_program_is_128_plus_the_signal(transport: Transport) -> None:
    assert transport.run(Program("killed", "sh -c 'kill -9 $$'")).exit_code == 128 + signal.SIGKILL
    assert transport.run(Program("killed", "exec sh -c 'kill -15 $$'")).exit_code == 128 + signal.SIGTERM


def test_a_program_may_leave_its_input_unread(transport: Transport) -> None:
    for text in ("exit 3", "exec <&-; sleep 0.2; exit 3", "head -c 10 >/dev/null; exit 3"):
        assert transport.run(Program("not reading", text), stdin=bytes(4_000_000)).exit_code == 3


def test_no_more_input_is_produced_when_the_program_stops_reading(plain_transport: Transport) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(65536)

    assert plain_transport.run(Program("enough", "head -c 1000 | wc -c; exit 5"), stdin=endless()).exit_code == 5


def test_a_transport_may_be_closed_twice_and_used_again(transport: Transport) -> None:
    transport.close()
    transport.close()
    assert transport.run(ECHO, ["again"]).stdout == b"again\0"


def test_a_program_starts_in_the_home_directory(transport: Transport) -> None:
    assert transport.run(Program("pwd", "pwd")).out.strip() == str(Path.home())


def test_arguments_are_not_visible_in_the_process_list(transport: Transport) -> None:
    reply = transport.run(Program("ps", "ps -eo args"), ["a-secret-argument"])
    assert "head -c" in reply.out
    assert "a-secret-argument" not in reply.out


def test_the_trace_of_set_x_is_not_mistaken_for_a_marker(plain_transport: Transport) -> None:
    reply = plain_transport.run(Program("trace", f"set -x; echo {quote('a b')}; exit 9"))
    assert (reply.exit_code, reply.out) == (9, "a b\n")
