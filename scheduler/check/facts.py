"""What check.sh printed, as values. Pure: a reply to facts; what they mean for a site is decided in findings.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scheduler.batch.capabilities import Answer, Capabilities, number, read_capabilities
from scheduler.transports.base import Reply


@dataclass
class Facts:
    """A machine as it was seen.

    Attributes:
        said: by name: a command's exit code and words. The names are those of check.sh.
        tools: programs that are needed over there, and missing.
        offer: what the batch system says of itself.
        clock: the time over there, in seconds since 1970; None if it did not say.
        asked_at, answered_at: by our own clock.
        trouble: why the program did not come to its end; empty if it did.
    """

    said: dict[str, Answer] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)
    offer: Capabilities = field(default_factory=Capabilities)
    clock: int | None = None
    asked_at: float = 0.0
    answered_at: float = 0.0
    trouble: str = ""

    def numbers(self, name: str) -> list[int]:
        """The numbers that it said under this name; -1 for what is none."""
        answer = self.said.get(name)
        return [_count(word) for word in answer.words.split()] if answer else []


def read_facts(reply: Reply, *, asked_at: float, answered_at: float) -> Facts:
    """The lines of check.sh; what cannot be read is passed over."""
    facts = Facts(asked_at=asked_at, answered_at=answered_at)
    offered: list[str] = []
    for name, answer in _answers(reply.out.split("\n")):
        if name == "tool":
            facts.tools.append(answer.words)
        elif name == "batch":
            offered.append(answer.words)
        else:
            facts.said.setdefault(name, answer)
    facts.offer = read_capabilities(offered)
    if "clock" in facts.said:
        facts.clock = _count(facts.said["clock"].words)
    if "end" not in facts.said:
        facts.trouble = reply.err.strip() or f"the program ended with exit code {reply.exit_code}, without a word"
    return facts


def _answers(lines: Iterable[str]) -> Iterable[tuple[str, Answer]]:
    for line in lines:
        name, _, rest = line.partition("\t")
        code, found, words = rest.partition("\t")
        if found:
            yield name, Answer(number(code, 1), words.strip())


def _count(word: str) -> int:
    return int(word) if word.isascii() and word.isdecimal() and len(word) < 19 else -1
