"""What poll.sh prints, as values: the queue, the history, end files, logs, ids. What they mean is decided in
`settle`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.job.evidence import End
from scheduler.job.numerals import is_number, read_time
from scheduler.transports.base import Reply


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
        live: name of a batch → its lines in the queue.
        history: all lines of the history.
        ends: (bundle, element) → the end file of its newest run.
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
    live: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    history: list[str] = field(default_factory=list)
    ends: dict[tuple[str, int], End] = field(default_factory=dict)
    logs: dict[tuple[str, int], list[str]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[tuple[str, int], str] = field(default_factory=dict)
    started: set[tuple[str, int]] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)


def read_poll_reply(reply: Reply, tokens: Sequence[str]) -> PollReply:
    """Read the lines of poll.sh. A line that cannot be read is skipped: it affects at most one job.

    Args:
        reply: what poll.sh printed.
        tokens: the bundles in the request; a line names one by its position.
    """
    found = PollReply()
    for line in reply.out.split("\n"):
        tag, _, rest = line.partition(" ")
        if tag == "l":
            found.live[rest.partition("|")[0]].append(rest)
        elif tag == "h":
            found.history.append(rest)
        elif tag == "clock":
            found.clock = read_time(rest.strip())
        elif tag in ("live", "history"):
            _read_query_result(found, tag, rest)
        elif tag == "missing" and is_number(rest) and int(rest) < len(tokens):
            found.missing.add(tokens[int(rest)])
        elif tag in ("e", "g", "i", "b"):
            _read_of_element(found, tag, rest, tokens)
    if reply.exit_code != 0:
        found.live_answered, found.live_words = False, reply.err.strip() or found.live_words
    return found


def _read_query_result(found: PollReply, tag: str, rest: str) -> None:
    code, _, words = rest.partition(" ")
    if tag == "live":
        found.live_answered, found.live_words = code == "0", words.strip() or f"exit code {code}"
    else:
        found.history_answered, found.history_words = code == "0", words.strip()


def _read_of_element(found: PollReply, tag: str, rest: str, tokens: Sequence[str]) -> None:
    number, _, rest = rest.partition(" ")
    element, _, text = rest.partition(" ")
    if not (is_number(number) and int(number) < len(tokens) and is_number(element)):
        return
    key = (tokens[int(number)], int(element))
    if tag == "g":
        found.logs[key].append(text)
    elif tag == "i":
        found.ids[key] = text.strip()
    elif tag == "b":
        found.started.add(key)
    else:
        end = read_end(text)
        if end is not None and (key not in found.ends or end.requeues >= found.ends[key].requeues):
            found.ends[key] = end


def read_end(text: str) -> End | None:
    """Read an end file, without the element that it begins with; None if it is not one.

    Args:
        text: ``0 exit=3 signal= started=… ended=… host=… id=… killed=… missing=… cannot=…``.
            Times are seconds since 1970.
    """
    head, found, cannot = text.partition(" cannot=")
    requeues, *pairs = head.split(" ")
    values = dict(pair.partition("=")[::2] for pair in pairs)
    if not found or not is_number(requeues) or not is_number(values.get("exit", "")):
        return None
    return End(
        requeues=int(requeues),
        exit_code=int(values["exit"]),
        signal=values.get("signal", ""),
        started=read_time(values.get("started", "")),
        ended=read_time(values.get("ended", "")),
        node=values.get("host", ""),
        cannot=cannot.strip(),
        missing=values.get("missing", ""),
        killed={"0": False, "1": True}.get(values.get("killed", "")),
    )
