"""What facts mean for a site: a line each, with what to do about it. Pure: facts and a site to findings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from scheduler.batch.base import find
from scheduler.check.batch_system import of_batch_system
from scheduler.check.facts import Facts
from scheduler.check.finding import Finding, failed, note, ok
from scheduler.site.settings import ContainerSettings
from scheduler.site.site import Site

LEAST_FREE_KIB = 1 << 20
"""Less free space than 1 GiB is worth a word."""
LEAST_INODES = 1000
MOST_SKEW_SECONDS = 60
"""A clock that is further off is wrong, not imprecise: certificates and the times of jobs are judged by it."""
OLDEST_PYTHON = (3, 6)


def findings(facts: Facts, site: Site, *, image: str | None = None) -> list[Finding]:
    """All that can be said without running a job."""
    return [*_of_machine(facts, site), *of_batch_system(facts, site), *_of_software(facts, site, image)]


def _of_machine(facts: Facts, site: Site) -> Iterator[Finding]:
    who = " on ".join(facts.said[name].words for name in ("user", "host") if name in facts.said)
    login_shell = facts.said["shell"].words if "shell" in facts.said else "unknown"
    yield ok("shell", f"{who}; login shell {login_shell}")
    if facts.tools:
        yield failed(
            "programs", f"missing: {', '.join(facts.tools)}", "ask the site: jobs are sent and fetched with them"
        )
    if facts.trouble:
        yield failed("programs", facts.trouble, "mend that over there; what follows may be incomplete")
    yield from _of_work_dir(facts, site)
    yield from _of_clock(facts)


def _of_work_dir(facts: Facts, site: Site) -> Iterator[Finding]:
    answer = facts.said.get("work")
    if answer is not None and answer.well:
        yield ok("work_dir", f"{answer.words} can be written")
    elif answer is not None:
        do = "set work_dir to a folder of yours on a disk with room, which the compute nodes see"
        yield failed("work_dir", f"{site.work_dir}: {answer.words or 'cannot be written'}", do)
    for name, least, unit in (("free", LEAST_FREE_KIB, "KiB"), ("inodes", LEAST_INODES, "")):
        numbers = facts.numbers(name)
        if len(numbers) != 2 or numbers[1] <= 0 or numbers[0] < 0:
            continue  # not said; some file systems do not count their inodes
        words = f"{_amount(numbers[0], unit)} of {_amount(numbers[1], unit)} are free (quotas are not seen)"
        title = "free space" if unit else "free inodes"
        if numbers[0] >= least:
            yield ok(title, words)
        else:
            yield note(title, words, "make room, or set work_dir to another disk: outputs need more")
    if site.limits.purge_days is not None:
        days = f"files that nobody has touched for {site.limits.purge_days} days are deleted over there (site file)"
        yield note("age policy", days, "bring outputs home before: scheduler wait, or collect")


def _amount(number: int, unit: str) -> str:
    if not unit:
        return str(number)
    return f"{number / 2**20:.1f} GiB" if number >= 2**20 else f"{number / 2**10:.1f} MiB"


def _of_clock(facts: Facts) -> Iterator[Finding]:
    if facts.clock is None or facts.clock < 0:
        return
    # It was read at some moment in between, and it counts whole seconds.
    ahead = facts.clock - facts.answered_at if facts.clock > facts.answered_at else 0.0
    behind = facts.asked_at - facts.clock - 1 if facts.clock + 1 < facts.asked_at else 0.0
    off = max(ahead, behind)
    if off <= MOST_SKEW_SECONDS:
        yield ok("clock", f"the same as here, but for at most {off + facts.answered_at - facts.asked_at + 1:.0f} s")
        return
    there = datetime.fromtimestamp(min(facts.clock, 2**32), timezone.utc)
    side = "ahead of" if ahead else "behind"
    words = f"over there it is {there:%Y-%m-%d %H:%M:%S} UTC, {off:.0f} s {side} this machine"
    yield failed(
        "clock", words, "set this machine's clock (timedatectl set-ntp true), or tell the site that theirs is off"
    )


def _of_software(facts: Facts, site: Site, image: str | None) -> Iterator[Finding]:
    runtime = facts.said.get("container")
    if runtime is not None and runtime.well:
        yield ok("container", f"{runtime.words} (on the login node)")
    elif runtime is not None and not find(site.scheduler).has_queues:
        yield no_runtime(f"{runtime.words or site.container.runtime} (on this machine)", site)
    elif runtime is not None:
        words = f"{runtime.words or site.container.runtime} (on the login node)"
        yield note("container", words, "some sites have it on compute nodes alone: --job looks there")
    if "image" in facts.said:
        yield _of_image(facts, str(image))
    python = facts.said.get("python")
    if python is not None:
        yield of_python(python.words if python.well else "", python.words, site)


def no_runtime(words: str, site: Site) -> Finding:
    """There is no container runtime where jobs run: a failure, if the site file says how containers are run."""
    do = "set container: {runtime, modules} to what the site has, or have it installed; only container jobs need it"
    return (note if site.container == ContainerSettings() else failed)("container", words, do)


def _of_image(facts: Facts, image: str) -> Finding:
    if facts.said["image"].well:
        return ok("image", f"{image} is there")
    return failed("image", facts.said["image"].words, "give the path of an image over there, or mend container binds")


def of_python(version: str, words: str, site: Site) -> Finding:
    """The Python that functions get: `version` is what it printed, `words` all that was said."""
    digits = version.split(".")[:2]
    if len(digits) != 2 or not all(part.isascii() and part.isdecimal() and len(part) < 4 for part in digits):
        do = "set python: (and modules: or prologue:) so that it is found; only functions and .py scripts need it"
        return failed("python", f"{site.python}: {words or 'says nothing'}", do)
    if (int(digits[0]), int(digits[1])) < OLDEST_PYTHON:
        return failed("python", f"{site.python} is {version}", "set python: to one that is 3.6 or later")
    return ok("python", f"{site.python} is {version}")
