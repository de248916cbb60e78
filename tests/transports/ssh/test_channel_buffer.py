"""ChannelBuffer keeps the promises of the Paramiko class that it replaces."""

from __future__ import annotations

import threading
import time

import pytest
from paramiko.buffered_pipe import BufferedPipe, PipeTimeout

from scheduler.transports.ssh.channel_buffer import ChannelBuffer

both = pytest.mark.parametrize("kind", [ChannelBuffer, BufferedPipe])
"""Our class, and Paramiko's, which it replaces."""


@both
def test_bytes_are_read_in_order_and_in_the_requested_amounts(kind: type[BufferedPipe[bytes]]) -> None:
    pipe = kind()
    assert not pipe.read_ready() and len(pipe) == 0
    for piece in (b"abc", b"", b"defgh", b"i"):
        pipe.feed(piece)
    assert pipe.read_ready() and len(pipe) == 9
    assert [pipe.read(2), pipe.read(4), pipe.read(100)] == [b"ab", b"cdef", b"ghi"]
    assert not pipe.read_ready()
    pipe.feed(b"rest")
    assert (pipe.empty(), pipe.empty(), len(pipe)) == (b"rest", b"", 0)


@both
def test_a_read_waits_for_data_until_its_timeout_or_the_end_of_the_stream(kind: type[BufferedPipe[bytes]]) -> None:
    pipe = kind()
    for seconds in (0.0, 0.05):
        with pytest.raises(PipeTimeout):
            pipe.read(1, seconds)
    threading.Timer(0.1, pipe.feed, [b"late"]).start()
    assert pipe.read(10, 5.0) == b"late"
    threading.Timer(0.1, pipe.close).start()
    assert pipe.read(10) == b""


@both
def test_data_from_before_the_end_of_the_stream_is_read_first(kind: type[BufferedPipe[bytes]]) -> None:
    pipe = kind()
    pipe.feed(b"ab")
    pipe.close()
    assert [pipe.read(1), pipe.read(5), pipe.read(5)] == [b"a", b"b", b""]


@both
def test_the_event_is_set_while_there_is_data_and_after_the_end_of_the_stream(kind: type[BufferedPipe[bytes]]) -> None:
    pipe, event = kind(), threading.Event()
    event.set()
    pipe.set_event(event)
    assert not event.is_set()
    pipe.feed(b"ab")
    pipe.read(1)
    assert event.is_set()
    pipe.read(1)
    assert not event.is_set()
    pipe.close()
    assert event.is_set()
    late = threading.Event()
    pipe.set_event(late)
    assert late.is_set()


def test_no_byte_is_lost_between_two_threads() -> None:
    pipe, event, found = ChannelBuffer(), threading.Event(), bytearray()
    pipe.set_event(event)
    sent = bytes(range(256)) * 4000

    def feed() -> None:
        for start in range(0, len(sent), 999):
            pipe.feed(sent[start : start + 999])
        pipe.close()

    threading.Thread(target=feed).start()
    end = time.monotonic() + 300
    while len(found) < len(sent) and time.monotonic() < end:
        assert event.wait(60)
        found += pipe.read(4096)
    assert bytes(found) == sent
