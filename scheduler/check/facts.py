"""Reads what check.sh printed into values. Pure; what the values mean for a site is in `machine` and `batch_system`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scheduler.batch.capabilities import MOST_LINES, Answer, Capabilities, number, read_capabilities
from scheduler.job.numerals import read_number
from scheduler.transports.base import Reply

_LINE_BYTES = 64 << 10
_MOST_ANSWERS = 100


@dataclass
class Facts:
    """What check.sh found on a login node.

    Attributes:
        answers: the exit code and output of each command, by the names that check.sh gives them.
        missing_programs: programs that jobs need and the login node does not have.
        capabilities: what the batch system reports about itself.
        clock: the remote time in seconds since 1970; None if it was not printed.
        asked_at, answered_at: local times before and after the remote command, in seconds since 1970.
        error: why check.sh did not reach its end; empty if it did.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    missing_programs: list[str] = field(default_factory=list)
    capabilities: Capabilities = field(default_factory=Capabilities)
    clock: int | None = None
    asked_at: float = 0.0
    answered_at: float = 0.0
    error: str = ""

    def numbers(self, name: str) -> list[int]:
        """The numbers in the output of this name; -1 for a word that is not a number."""
        answer = self.answers.get(name)
        return [_count(word) for word in answer.words.split()] if answer else []


def read_facts(reply: Reply, *, asked_at: float, answered_at: float) -> Facts:
    """Read the lines of check.sh. A line that cannot be read is ignored.

    Args:
        reply: of check.sh.
        asked_at: the local time before the remote command, in seconds since 1970.
        answered_at: the local time after it.
    """
    facts = Facts(asked_at=asked_at, answered_at=answered_at)
    batch_lines: list[str] = []
    for name, answer in _answers(reply.lines(_LINE_BYTES)):
        if name == "tool":
            facts.missing_programs += [answer.words] if len(facts.missing_programs) < _MOST_ANSWERS else []
        elif name == "batch":
            batch_lines += [answer.words] if len(batch_lines) < MOST_LINES else []
        elif len(facts.answers) < _MOST_ANSWERS:
            facts.answers.setdefault(name, answer)
    facts.capabilities = read_capabilities(batch_lines)
    if "clock" in facts.answers:
        facts.clock = _count(facts.answers["clock"].words)
    if "end" not in facts.answers:
        facts.error = reply.err.strip() or f"check.sh ended early, with exit code {reply.exit_code} and no message"
    return facts


def _answers(lines: Iterable[str]) -> Iterable[tuple[str, Answer]]:
    for line in lines:
        name, _, rest = line.partition("\t")
        code, found, words = rest.partition("\t")
        if found:
            yield name, Answer(number(code, 1), words.strip())


def _count(word: str) -> int:
    found = read_number(word, digits=18)
    return -1 if found is None else found
