"""fetch.sh on several channels of one connection: each sends every Nth stripe of a large file, read here as one stream.

OpenSSH sends 2 MB on a channel before it waits for an acknowledgement: on a connection with a long round trip that
limits the speed of a channel. Channel 0 sends the line ``from OFFSET``, the SHA-256, and small files; the others send
only their stripes. Stripes are read in the order of the file: an interrupted download leaves the beginning of the
file, as if it had come over one channel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scheduler.engine.collect.resumable import FileNotKept, Part
from scheduler.engine.collect.stream import Stream, open_stream
from scheduler.errors import SchedulerError
from scheduler.transports.base import Program, Reply, Transport

STRIPE_BYTES = 1 << 21
"""Half of the unread bytes that a stream holds, so that no channel waits while another is read. Also in fetch.sh."""
LEAST_BYTES = 8 << 20
"""For fewer bytes, opening a channel costs more time than it saves."""


class ReopenChannels(SchedulerError):
    """The rest must be requested in a new run of fetch.sh.

    Attributes:
        channels: how many to open.
        restart: the remote file does not begin with the local part of the file that is now read.
    """

    def __init__(self, channels: int, *, restart: bool = False) -> None:
        super().__init__("new channels must be opened")
        self.channels, self.restart = channels, restart


@dataclass(frozen=True)
class Channels:
    """The outputs of fetch.sh, which runs once on each channel."""

    streams: Sequence[Stream]

    @property
    def reply(self) -> Reply | None:
        """The reply of a run that failed, or else of channel 0; None while it runs."""
        replies = [one.reply for one in self.streams if one.reply is not None]
        return next((one for one in replies if one.exit_code != 0), self.streams[0].reply)

    def read(self, size: int) -> bytes:
        """The next bytes of channel 0, at most `size`."""
        with self.channel(0) as first:
            return first.read(size) or b""

    @contextlib.contextmanager
    def channel(self, number: int) -> Iterator[Stream]:
        """The stream of one channel, for reading.

        Raises:
            ReopenChannels: the server refused this channel, but accepted others.
        """
        try:
            yield self.streams[number]
        except SchedulerError:
            accepted = [one for one in self.streams if not one.is_refused]
            if self.streams[number].is_refused and accepted:
                raise ReopenChannels(len(accepted)) from None
            raise


class StripedFile:
    """One large file as it arrives: a `resumable.Source` that takes each stripe from its channel."""

    def __init__(self, channels: Channels, offset: int) -> None:
        """`offset`: the first byte that was requested from the site."""
        self._channels, self._offset, self._at = channels, offset, offset
        self._first_stripe = -(-offset // STRIPE_BYTES) * STRIPE_BYTES

    def readline(self, size: int) -> bytes:
        """The next line of channel 0, at most `size` bytes.

        Raises:
            ReopenChannels: channel 0 sends the file from its beginning, but the other channels send from `offset` on.
        """
        with self._channels.channel(0) as first:
            line = first.readline(size)
        if line == b"from 0\n" and self._offset and len(self._channels.streams) > 1:
            raise ReopenChannels(len(self._channels.streams), restart=True)
        return line

    def read(self, size: int) -> bytes:
        """The next bytes of the file, at most `size`; empty if the channel that carries them has ended."""
        number, left = 0, self._first_stripe - self._at
        if left <= 0:
            stripe, done = divmod(self._at - self._first_stripe, STRIPE_BYTES)
            number, left = stripe % len(self._channels.streams), STRIPE_BYTES - done
        with self._channels.channel(number) as stream:
            chunk = stream.read(min(size, left)) or b""
        self._at += len(chunk)
        return chunk


def channels_for(transport: Transport, size: int) -> int:
    """How many channels to open for `size` bytes of large files.

    Raises:
        TransportError: the site could not be reached.
    """
    most = size // LEAST_BYTES
    return min(transport.download_streams(), most) if most > 1 else 1


@contextlib.contextmanager
def open_channels(
    transport: Transport, program: Program, stdin: Sequence[bytes], *, channels: int, timeout: float
) -> Iterator[Channels]:
    """Run `program` on several channels at once and read their outputs meanwhile.

    Args:
        transport: the connection.
        program: its arguments are the length of the first element of `stdin`, the number of its channel, and how many
            channels there are.
        stdin: what each run reads.
        channels: how many.
        timeout: as for `Transport.run`.
    """
    with contextlib.ExitStack() as all_open:
        args = [[str(len(stdin[0])), str(number), str(channels)] for number in range(channels)]
        runs = [open_stream(transport, program, one, stdin=stdin, timeout=timeout) for one in args]
        yield Channels([all_open.enter_context(run) for run in runs])


def receive(source: Channels, left: dict[str, Part], arrived: Callable[[int], None], not_kept: dict[str, str]) -> int:
    """Receive large files in their order, and remove each from `left` when it has been read.

    Args:
        source: the running channels.
        left: the requested files by their remote path.
        arrived: called with the size of each chunk.
        not_kept: receives files that could not be kept, and why. The other files continue.

    Returns:
        0 if all have been read; else the number of channels on which to request what is left.
    """
    for path, part in list(left.items()):
        try:
            part.receive(StripedFile(source, part.offset), arrived)
        except FileNotKept as error:
            not_kept[path] = str(error)
        except ReopenChannels as error:
            if error.restart:
                part.restart(arrived)
            return error.channels
        del left[path]
    return 0
