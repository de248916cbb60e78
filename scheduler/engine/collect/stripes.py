"""What a program sends home over several channels of one connection, as one stream: of large files a stripe in turn.

OpenSSH takes 2 MB of a channel before it is told to go on: on a long line that is the speed of one channel. The first
channel sends all that is said about a file, and small files; the others send nothing but their stripes. Since the bytes
are read in their order, what is here of a file after a cut is its beginning, as if it had come over one channel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scheduler.engine.collect.resumable import NotKept, Part
from scheduler.engine.collect.stream import Stream, opened
from scheduler.errors import SchedulerError
from scheduler.transports.base import Program, Reply, Transport

STRIPE_BYTES = 1 << 21
"""Half of what a stream holds that nobody has read yet, so that no channel waits while another one is read."""
LEAST_BYTES = 8 << 20
"""For less, a channel costs more than it saves."""


class Anew(SchedulerError):
    """The rest is to be asked for again.

    Attributes:
        channels: over so many.
        forget: what is here of the file that is now read is no beginning of it.
    """

    def __init__(self, channels: int, *, forget: bool = False) -> None:
        super().__init__("the channels have to be opened anew")
        self.channels, self.forget = channels, forget


@dataclass(frozen=True)
class Stripes:
    """The outputs of one program, run once a channel."""

    channels: Sequence[Stream]

    @property
    def reply(self) -> Reply | None:
        """What a program said that failed, or else the first one, if it has ended."""
        replies = [one.reply for one in self.channels if one.reply is not None]
        return next((one for one in replies if one.exit_code != 0), self.channels[0].reply)

    def read(self, size: int) -> bytes:
        """What comes in no stripes."""
        with self.channel(0) as first:
            return first.read(size) or b""

    @contextlib.contextmanager
    def channel(self, number: int) -> Iterator[Stream]:
        """To read from one of them.

        Raises:
            Anew: the server has not given this channel, but others.
        """
        try:
            yield self.channels[number]
        except SchedulerError:
            given = [one for one in self.channels if not one.is_refused]
            if self.channels[number].is_refused and given:
                raise Anew(len(given)) from None
            raise


class Striped:
    """One file on its way, of which the site is asked for what comes after `offset`."""

    def __init__(self, stripes: Stripes, offset: int) -> None:
        self._stripes, self._offset, self._at = stripes, offset, offset
        self._even = -(-offset // STRIPE_BYTES) * STRIPE_BYTES

    def readline(self, size: int) -> bytes:
        """A line of the first channel.

        Raises:
            Anew: the site begins the file anew, and the other channels do not know it.
        """
        with self._stripes.channel(0) as first:
            line = first.readline(size)
        if line == b"from 0\n" and self._offset and len(self._stripes.channels) > 1:
            raise Anew(len(self._stripes.channels), forget=True)
        return line

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; none where the channel that should have them has ended."""
        number, left = 0, self._even - self._at
        if left <= 0:
            stripe, done = divmod(self._at - self._even, STRIPE_BYTES)
            number, left = stripe % len(self._stripes.channels), STRIPE_BYTES - done
        with self._stripes.channel(number) as turn:
            piece = turn.read(min(size, left)) or b""
        self._at += len(piece)
        return piece


def worth(transport: Transport, size: int) -> int:
    """So many channels are worth opening for large files of so many bytes.

    Raises:
        TransportError: the machine was not reached.
    """
    most = size // LEAST_BYTES
    return min(transport.download_streams(), most) if most > 1 else 1


@contextlib.contextmanager
def opened_by(
    transport: Transport, program: Program, stdin: Sequence[bytes], *, channels: int, timeout: float
) -> Iterator[Stripes]:
    """The output of `program` while it runs on so many channels.

    Each is told how long the first part of `stdin` is, which channel it is itself, and how many there are.
    """
    with contextlib.ExitStack() as all_open:
        words = [[str(len(stdin[0])), str(number), str(channels)] for number in range(channels)]
        runs = [opened(transport, program, args, stdin=stdin, timeout=timeout) for args in words]
        yield Stripes([all_open.enter_context(run) for run in runs])


def receive(source: Stripes, left: dict[str, Part], arrived: Callable[[int], None], broken: dict[str, str]) -> int:
    """Take large files, in their order; each is out of `left` once it has come.

    Args:
        broken: gets those that could not be kept, and why. The others go on.

    Returns:
        0; or over how many channels what is left is to be asked for anew.
    """
    for name, part in list(left.items()):
        try:
            part.receive(Striped(source, part.offset), arrived)
        except NotKept as error:
            broken[name] = str(error)
        except Anew as error:
            if error.forget:
                part.forget(arrived)
            return error.channels
        del left[name]
    return 0
