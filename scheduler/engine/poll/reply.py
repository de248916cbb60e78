"""What poll.sh prints, sorted: the queue, the history, ends, logs, ids. What it means of a job is decided elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from scheduler.job.evidence import End
from scheduler.transports.base import Reply


@dataclass
class PollReply:
    """The tagged lines of one poll, sorted.

    `clock` is the time over there; `live` has the queue's lines by the name of their batch; `begun` has those whose
    script has run, of those that the queue does not have; `missing` has the bundles whose folder is not there.
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
    begun: set[tuple[str, int]] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)


def read(reply: Reply, tokens: Sequence[str]) -> PollReply:
    """The lines of poll.sh. One that cannot be read is passed over: it concerns one job at most."""
    heard = PollReply()
    for line in reply.out.split("\n"):
        tag, _, rest = line.partition(" ")
        if tag == "l":
            heard.live[rest.partition("|")[0]].append(rest)
        elif tag == "h":
            heard.history.append(rest)
        elif tag == "clock":
            heard.clock = _time(rest.strip())
        elif tag in ("live", "history"):
            _read_answer(heard, tag, rest)
        elif tag == "missing" and _is_number(rest) and int(rest) < len(tokens):
            heard.missing.add(tokens[int(rest)])
        elif tag in ("e", "g", "i", "b"):
            _read_of_element(heard, tag, rest, tokens)
    if reply.exit_code != 0:
        heard.live_answered, heard.live_words = False, reply.err.strip() or heard.live_words
    return heard


def _read_answer(heard: PollReply, tag: str, rest: str) -> None:
    code, _, words = rest.partition(" ")
    if tag == "live":
        heard.live_answered, heard.live_words = code == "0", words.strip() or f"exit code {code}"
    else:
        heard.history_answered, heard.history_words = code == "0", words.strip()


def _read_of_element(heard: PollReply, tag: str, rest: str, tokens: Sequence[str]) -> None:
    number, _, rest = rest.partition(" ")
    element, _, words = rest.partition(" ")
    if not (_is_number(number) and int(number) < len(tokens) and _is_number(element)):
        return
    key = (tokens[int(number)], int(element))
    if tag == "g":
        heard.logs[key].append(words)
    elif tag == "i":
        heard.ids[key] = words.strip()
    elif tag == "b":
        heard.begun.add(key)
    else:
        end = read_end(words)
        if end is not None and (key not in heard.ends or end.requeues >= heard.ends[key].requeues):
            heard.ends[key] = end


def read_end(words: str) -> End | None:
    """An end file after its element: ``0 exit=3 signal= started=… ended=… host=… id=… missing=… cannot=…``, or None."""
    head, found, cannot = words.partition(" cannot=")
    requeues, *pairs = head.split(" ")
    values = dict(pair.partition("=")[::2] for pair in pairs)
    if not found or not _is_number(requeues) or not _is_number(values.get("exit", "")):
        return None
    return End(
        requeues=int(requeues),
        exit_code=int(values["exit"]),
        signal=values.get("signal", ""),
        started=_time(values.get("started", "")),
        ended=_time(values.get("ended", "")),
        node=values.get("host", ""),
        cannot=cannot.strip(),
        missing=values.get("missing", ""),
    )


def _time(seconds: str) -> datetime | None:
    return datetime.fromtimestamp(int(seconds), timezone.utc) if _is_number(seconds, digits=11) else None


def _is_number(word: str, *, digits: int = 9) -> bool:
    """One of a length that makes sense: Python refuses to read one of 5000 digits."""
    return word.isascii() and word.isdecimal() and len(word) <= digits
