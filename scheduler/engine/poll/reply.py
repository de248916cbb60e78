"""What poll.sh prints, as values: the queue, the history, end files, logs, ids. What they mean is decided in
`settle`.

The cluster is not trusted. Whatever it prints, only lines about the batches and elements of the request are kept, a
fixed number for each, each of a bounded length; and a reply that is larger than the request explains is refused.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.errors import TransportError
from scheduler.job.evidence import End
from scheduler.job.numerals import is_number, read_exit_code, read_number, read_time
from scheduler.job.remote_text import MESSAGE_CHARACTERS, cut, read_id
from scheduler.ledger.rows import PolledBatch
from scheduler.transports.base import Reply

_REPLY_BYTES, _REPLY_BYTES_OF_ONE = 8 << 20, 8 << 10
"""The most bytes of a reply: for any request, and in addition for each of its jobs."""
_LEAST_BYTES = 3
"""The fewest bytes of a line: a tag, a blank and a character."""
_LINE_BYTES = 256 << 10
"""The most bytes of a line: PBS lists all nodes of a job."""
_QUEUE_CHARACTERS, _QUEUE_CHARACTERS_OF_ONE = 16 << 10, 12
"""The most characters of a line of the queue, which may list the indices of an array one by one."""
_QUEUE_LINES, _QUEUE_LINES_OF_ONE = 16, 4
"""The most lines of the queue about a batch. A job that was submitted twice has two."""
_HISTORY_LINES, _HISTORY_LINES_OF_ONE = 10_000, 100
"""The most lines of the history. sacct prints one for each step of a job."""
_LINES_OF_LOG = 4
_PIECE_BYTES = 1 << 16
_CODE_CHARACTERS = 20


@dataclass
class PollReply:
    """The lines of one poll, by their tags. A key ``(bundle, element)`` is a token and the number of a job in its
    bundle.

    Attributes:
        clock: the time of the remote host; None if it was not printed.
        live_answered: whether the queue answered.
        live_words: its error message.
        history_answered: the history was queried successfully; None if it was not queried.
        history_words: its error message.
        cancel_answered: whether the batch system accepted the cancellations that were requested; None if none was.
        live: name of a batch → its lines in the queue.
        history: all lines of the history.
        ends: (bundle, element) → the end file of its newest run.
        runs: (bundle, element) of a job that was requeued → the number of its newest run that has begun.
        logs: (bundle, element) → the last lines of its log.
        ids: (bundle, first element of a batch) → the batch system's id, for batches whose id was not known.
        started: (bundle, element) of jobs whose script has started, among those that are not in the queue.
        missing: bundles whose remote folder does not exist.
    """

    clock: datetime | None = None
    live_words: str = "no answer"
    live_answered: bool = False
    history_words: str = ""
    history_answered: bool | None = None
    cancel_answered: bool | None = None
    live: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    history: list[str] = field(default_factory=list)
    ends: dict[tuple[str, int], End] = field(default_factory=dict)
    runs: dict[tuple[str, int], int] = field(default_factory=dict)
    logs: dict[tuple[str, int], list[str]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[tuple[str, int], str] = field(default_factory=dict)
    started: set[tuple[str, int]] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)


class PollReader:
    """Reads the output of poll.sh while it arrives. A line that cannot be read is skipped: it affects at most one job.

    Attributes:
        tokens: the bundles of the request; a line names one by its position.
        counts: the name of each batch → how many indices the batch system knows of it.
    """

    def __init__(self, batches: Sequence[PolledBatch]) -> None:
        """
        Args:
            batches: what was requested.
        """
        self.tokens = list(dict.fromkeys(batch.bundle for batch in batches))
        self.counts = {batch.name: batch.size if batch.in_array else 1 for batch in batches}
        self._ranges: dict[str, list[tuple[int, int]]] = {token: [] for token in self.tokens}
        for batch in batches:
            self._ranges[batch.bundle].append((batch.first, batch.size))
        for ranges in self._ranges.values():
            ranges.sort()
        jobs = sum(batch.size for batch in batches)
        self._most_bytes = _REPLY_BYTES + _REPLY_BYTES_OF_ONE * jobs
        self._most_history = _HISTORY_LINES + _HISTORY_LINES_OF_ONE * jobs
        self._found = PollReply()
        self._received = 0
        self._line = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            TransportError: there are more of them than the request explains.
        """
        self._received += len(chunk)
        if self._received > self._most_bytes:
            most = f"{self._most_bytes >> 20} MiB"
            raise TransportError(f"poll: the output is larger than {most}, so it was aborted. Nothing was recorded")
        for start in range(0, len(chunk), _PIECE_BYTES):
            *ended, rest = chunk[start : start + _PIECE_BYTES].split(b"\n")
            for line in ended:
                if len(line) < _LEAST_BYTES and not self._line:
                    continue
                self._take(line)
                self._read_line()
            self._take(rest)

    def read(self, reply: Reply) -> PollReply:
        """All that was read.

        Args:
            reply: of poll.sh. Its output is read too, if the transport has not passed it to `feed`.
        """
        self.feed(reply.stdout)
        self._read_line()
        found = self._found
        if reply.exit_code != 0:
            found.live_answered = False
            found.live_words = cut(reply.err.strip(), MESSAGE_CHARACTERS) or found.live_words
        return found

    def _take(self, piece: bytes) -> None:
        self._line += piece[: max(0, _LINE_BYTES - len(self._line))]

    def _read_line(self) -> None:
        line, self._line = self._line.decode("utf-8", "backslashreplace"), bytearray()
        tag, _, rest = line.partition(" ")
        found = self._found
        if tag == "l":
            self._read_live(rest)
        elif tag == "h":
            if len(found.history) < self._most_history:
                found.history.append(rest)
        elif tag == "clock":
            found.clock = read_time(rest.strip())
        elif tag in ("live", "history", "cancel"):
            _read_query_result(found, tag, rest)
        elif tag == "missing" and (token := self._token(rest)):
            found.missing.add(token)
        elif tag in ("e", "g", "i", "b", "r"):
            self._read_of_element(tag, rest)

    def _read_live(self, line: str) -> None:
        name = line.partition("|")[0]
        if name in self.counts:
            lines, count = self._found.live[name], self.counts[name]
            if len(lines) < _QUEUE_LINES + _QUEUE_LINES_OF_ONE * count:
                lines.append(line[: _QUEUE_CHARACTERS + _QUEUE_CHARACTERS_OF_ONE * count])

    def _token(self, number: str) -> str:
        """The bundle of this number; empty if the request has none."""
        index = read_number(number)
        return self.tokens[index] if index is not None and index < len(self.tokens) else ""

    def _first_of(self, token: str, element: int) -> int | None:
        """The first element of the batch in the request that has this element."""
        ranges = self._ranges[token]
        first, size = ranges[bisect_right(ranges, (element, math.inf)) - 1]
        return first if first <= element < first + size else None

    def _read_of_element(self, tag: str, rest: str) -> None:
        number, _, rest = rest.partition(" ")
        element, _, text = rest.partition(" ")
        token = self._token(number)
        if not token or not is_number(element):
            return
        key, found = (token, int(element)), self._found
        first = self._first_of(*key)
        if first is None:
            return
        if tag == "g":
            if len(found.logs[key]) < _LINES_OF_LOG:
                found.logs[key].append(cut(text))
        elif tag == "i":
            batch_id = read_id(text)
            if batch_id and first == key[1]:
                found.ids[key] = batch_id
        elif tag == "b":
            found.started.add(key)
        elif tag == "r":
            found.runs[key] = max(found.runs.get(key, 0), read_number(text) or 0)
        else:
            end = read_end(text)
            if end is not None and (key not in found.ends or end.requeues >= found.ends[key].requeues):
                found.ends[key] = end


def _read_query_result(found: PollReply, tag: str, rest: str) -> None:
    code, _, words = rest.partition(" ")
    code, words = cut(code, _CODE_CHARACTERS), cut(words.strip(), MESSAGE_CHARACTERS)
    if tag == "live":
        found.live_answered, found.live_words = code == "0", words or f"exit code {code}"
    elif tag == "cancel":
        found.cancel_answered = code == "0"
    else:
        found.history_answered, found.history_words = code == "0", words


def read_end(text: str) -> End | None:
    """Read an end file, without the element that it begins with; None if it is not one.

    Args:
        text: ``0 exit=3 signal= started=… ended=… host=… id=… killed=… missing=… cannot=…``.
            Times are seconds since 1970.
    """
    head, found, cannot = text.partition(" cannot=")
    requeues, *pairs = head.split(" ")
    values = dict(pair.partition("=")[::2] for pair in pairs)
    exit_code = read_exit_code(values.get("exit", ""))
    if not found or not is_number(requeues) or exit_code is None:
        return None
    return End(
        requeues=int(requeues),
        exit_code=exit_code,
        signal=values.get("signal", ""),
        started=read_time(values.get("started", "")),
        ended=read_time(values.get("ended", "")),
        node=values.get("host", ""),
        cannot=cannot.strip(),
        missing=values.get("missing", ""),
        killed={"0": False, "1": True}.get(values.get("killed", "")),
    )
