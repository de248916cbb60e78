"""All jobs of a site are asked after in one remote command, and what it says is weighed job by job."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from scheduler import remote
from scheduler.batch.base import BatchSystem, Key, write_indices
from scheduler.job.evidence import End, Evidence, Sighting
from scheduler.job.settle import GAP_SECONDS, settle
from scheduler.job.state import Status
from scheduler.ledger import Ledger
from scheduler.ledger_rows import JobRow
from scheduler.ledger_sites import Sites
from scheduler.site.site import Site
from scheduler.transports.base import Reply, Transport

POLL_SECONDS = 120.0
"""So long a poll may be without a byte: a frozen controller answers after 10 s, an accounting database in a minute."""


@dataclass
class Heard:
    """The tagged lines of one poll, sorted.

    `clock` is the time over there; `begun` has those whose script has run, of those that the queue does not have;
    `missing` has the bundles whose folder is not there.
    """

    clock: datetime | None = None
    live_words: str = "no answer"
    live_answered: bool = False
    history_words: str = ""
    history_answered: bool | None = None
    live: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    ends: dict[tuple[str, int], End] = field(default_factory=dict)
    logs: dict[tuple[str, int], list[str]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[tuple[str, int], str] = field(default_factory=dict)
    begun: set[tuple[str, int]] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)


def poll(
    site: Site, system: BatchSystem, ledger: Ledger, transport: Transport, *, asked_before: float = math.inf
) -> str:
    """Ask once after every job of the site that has not ended, and record what is new.

    Args:
        asked_before: when the site was asked the last time.

    Returns:
        Why the queue did not answer, in its own words; empty if it did. Then nothing is known to have changed.

    Raises:
        TransportError: the site was not reached; nothing is known to have changed.
    """
    rows = ledger.going_on(site.name)
    if not rows:
        return ""
    tokens = {token: number for number, token in enumerate(dict.fromkeys(row.bundle for row in rows))}
    ask_history = "no" if Sites(ledger).history_of(site.name) == "none" else "yes"
    question = "".join(_question(rows, tokens)).encode()
    reply = transport.run(remote.program("poll", site.scheduler), [ask_history], stdin=question, timeout=POLL_SECONDS)
    heard = read(reply, list(tokens))
    if ask_history == "no" or (heard.history_answered is False and system.no_history(heard.history_words)):
        heard.history_answered = None
        Sites(ledger).record_history(site.name, "none")
    _weigh(rows, heard, system, ledger, unwatched=max(0.0, time.time() - asked_before - GAP_SECONDS))
    return "" if heard.live_answered else heard.live_words


def _question(rows: Sequence[JobRow], tokens: dict[str, int]) -> Iterable[str]:
    """A line a batch: number of its bundle, folder, name, id, first element, indices that have not ended, its kind."""
    batches: dict[tuple[str, int], list[JobRow]] = defaultdict(list)
    for row in rows:
        batches[row.bundle, row.first].append(row)
    for (token, first), members in batches.items():
        one = members[0]
        indices = write_indices(row.element - first for row in members)
        kind = "pack" if one.packed else "array" if one.in_array else "one"
        yield f"{tokens[token]}\t{one.folder}\t{one.name}\t{one.batch_id or '-'}\t{first}\t{indices}\t{kind}\n"


def read(reply: Reply, tokens: Sequence[str]) -> Heard:
    """The lines of poll.sh. One that cannot be read is passed over: it concerns one job at most."""
    heard = Heard()
    for line in reply.out.split("\n"):
        tag, _, rest = line.partition(" ")
        if tag == "l":
            heard.live.append(rest)
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


def _read_answer(heard: Heard, tag: str, rest: str) -> None:
    code, _, words = rest.partition(" ")
    if tag == "live":
        heard.live_answered, heard.live_words = code == "0", words.strip() or f"exit code {code}"
    else:
        heard.history_answered, heard.history_words = code == "0", words.strip()


def _read_of_element(heard: Heard, tag: str, rest: str, tokens: Sequence[str]) -> None:
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
        if end is not None and (key not in heard.ends or end.attempt >= heard.ends[key].attempt):
            heard.ends[key] = end


def read_end(words: str) -> End | None:
    """An end file after its element: ``0 exit=3 signal= started=… ended=… host=… id=… missing=… cannot=…``, or None."""
    head, found, cannot = words.partition(" cannot=")
    attempt, *pairs = head.split(" ")
    values = dict(pair.partition("=")[::2] for pair in pairs)
    if not found or not _is_number(attempt) or not _is_number(values.get("exit", "")):
        return None
    return End(
        attempt=int(attempt),
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


def _weigh(rows: Sequence[JobRow], heard: Heard, system: BatchSystem, ledger: Ledger, *, unwatched: float) -> None:
    """`unwatched`: so many of the seconds since the last poll are not held against a job that is silent."""
    live = system.read_live(heard.live)
    names = {row.batch_id.split(";")[0]: row.name for row in rows if row.batch_id}
    history = system.read_history(heard.history, names)
    changes: dict[int, Status] = {}
    said: dict[int, str] = {}
    silence: dict[int, tuple[int, float | None, int]] = {}
    known = {name for name, _ in (*live, *history)} if system.strikes_out else set()
    for row in rows:
        since = row.silent_since + unwatched if row.silent_since else None
        evidence = _evidence(row, heard, live.get((row.name, row.index)), history.get((row.name, row.index)), since)
        if row.name in known and _is_struck_out(row, heard, evidence):
            evidence = replace(evidence, struck_out=True)
        status = settle(row.status, evidence)
        if status != row.status:
            changes[row.key], said[row.key] = status, _said(status, evidence)
        count, since = (evidence.silent_polls, since or time.time()) if evidence.silent else (0, None)
        if count != row.silent:
            silence[row.key] = (count, since, row.tries)
    _record_ids(rows, heard, {**history, **live}, ledger)
    if changes:
        ledger.observe(changes, said)
    if silence:
        ledger.record_silence(silence)


def _evidence(
    row: JobRow, heard: Heard, live: Sighting | None, history: Sighting | None, since: float | None
) -> Evidence:
    key = (row.bundle, row.element)
    end = heard.ends.get(key)
    age = (heard.clock - end.ended).total_seconds() if heard.clock and end and end.ended else math.inf
    return Evidence(
        end=end,
        end_age_seconds=age,
        live=live,
        history=history,
        log=heard.logs.get(key, ()),
        queue_answered=heard.live_answered,
        history_answered=heard.history_answered,
        silent_polls=row.silent + 1,
        silent_seconds=time.time() - since if since else 0.0,
        shared=row.packed,
    )


def _is_struck_out(row: JobRow, heard: Heard, evidence: Evidence) -> bool:
    """Nobody knows of this element, and it has left no trace of a beginning."""
    unknown = row.in_array and evidence.live is None and evidence.history is None and evidence.end is None
    return unknown and (row.bundle, row.element) not in heard.begun and row.bundle not in heard.missing


def _said(status: Status, evidence: Evidence) -> str:
    """What was seen, for the job's history."""
    parts = [str(status)]
    if evidence.end is not None:
        parts.append(f"end file: exit={evidence.end.exit_code} signal={evidence.end.signal or '-'}")
    parts += [f"{name}: {s.raw}" for name, s in (("queue", evidence.live), ("history", evidence.history)) if s]
    parts += [f"log: {evidence.log[-1]}"] if evidence.log else []
    return "; ".join(parts)


def _record_ids(rows: Sequence[JobRow], heard: Heard, seen: dict[Key, Sighting], ledger: Ledger) -> None:
    """Ids of batches whose submission was cut off: from the id file, or from whoever knows their name."""
    for row in rows:
        if row.batch_id is None:
            sighting = seen.get((row.name, row.index))
            batch_id = heard.ids.get((row.bundle, row.first)) or (sighting.batch_id if sighting else "")
            if batch_id:
                ledger.record_ids(row.bundle, {row.first: batch_id})
