"""Findings about the login node: programs, remote directory, clock, software. Pure: facts and a site give findings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from scheduler.batch.base import find
from scheduler.check.facts import Facts
from scheduler.check.finding import Finding, failed, note, ok
from scheduler.job.numerals import is_number
from scheduler.site.settings import ContainerSettings
from scheduler.site.site import Site

LEAST_FREE_KIB = 1 << 20
"""Less free space than this (1 GiB) gives a note."""
LEAST_FREE_INODES = 1000
MOST_SKEW_SECONDS = 60
"""A larger difference between the clocks is a failure: certificates and the times of jobs depend on them."""
OLDEST_PYTHON = (3, 6)


def machine_findings(facts: Facts, site: Site) -> Iterator[Finding]:
    """The findings about the login node itself."""
    user_and_host = " on ".join(facts.answers[name].words for name in ("user", "host") if name in facts.answers)
    login_shell = facts.answers["shell"].words if "shell" in facts.answers else "unknown"
    yield ok("shell", f"{user_and_host}; login shell {login_shell}")
    if facts.missing_programs:
        do = "ask the site to install them: submitting and collecting jobs needs them"
        yield failed("programs", f"missing: {', '.join(facts.missing_programs)}", do)
    if facts.error:
        yield failed("programs", facts.error, "fix this on the login node; the findings below may be incomplete")
    yield from _work_dir(facts, site)
    yield from _clock(facts)


def _work_dir(facts: Facts, site: Site) -> Iterator[Finding]:
    answer = facts.answers.get("work")
    if answer is not None and answer.well:
        yield ok("work_dir", f"{answer.words} is writable")
    elif answer is not None:
        do = "set work_dir: to a directory of yours that compute nodes see, on a disk with free space"
        yield failed("work_dir", f"{site.work_dir}: {answer.words or 'not writable'}", do)
    if "risk" in facts.answers:
        yield from _other_users(facts.answers["risk"].words, site)
    yield from _free(facts, "free space", "free", LEAST_FREE_KIB, "KiB")
    yield from _free(facts, "free inodes", "inodes", LEAST_FREE_INODES, "")
    if site.limits.purge_days is not None:
        words = f"the site deletes files that are not used for {site.limits.purge_days} days (limits of the site file)"
        yield note("age policy", words, "download outputs before: scheduler wait, or scheduler collect")


def _other_users(risk: str, site: Site) -> Iterator[Finding]:
    """What users other than the owner may do in work_dir, as the function folder_risk of prelude.sh prints it."""
    kind, _, owner = risk.partition(" ")
    if kind == "owner":
        words = f"{site.work_dir} belongs to another user (uid {owner}), who could replace the files of your jobs"
        yield failed("work_dir access", words, "set work_dir: to a directory of yours; nothing is submitted here")
    elif kind == "world":
        words = f"{site.work_dir} is writable by every user, without the sticky bit"
        do = "remove that permission there (chmod o-w), or set another work_dir; nothing is submitted here"
        yield failed("work_dir access", words, do)
    elif kind == "group":
        words = f"{site.work_dir} is writable by its group, whose members could replace the files of your jobs"
        yield note("work_dir access", words, "if you do not trust all of them: chmod g-w, on the cluster")


def _free(facts: Facts, title: str, name: str, least: int, unit: str) -> Iterator[Finding]:
    numbers = facts.numbers(name)
    if len(numbers) != 2 or numbers[1] <= 0 or numbers[0] < 0:
        return  # df printed nothing usable; some file systems do not count their inodes
    words = f"{_amount(numbers[0], unit)} of {_amount(numbers[1], unit)} free (quotas are not checked)"
    if numbers[0] >= least:
        yield ok(title, words)
    else:
        yield note(title, words, "delete files, or set work_dir: to a directory on another disk")


def _amount(number: int, unit: str) -> str:
    if not unit:
        return str(number)
    return f"{number / 2**20:.1f} GiB" if number >= 2**20 else f"{number / 2**10:.1f} MiB"


def _clock(facts: Facts) -> Iterator[Finding]:
    if facts.clock is None or facts.clock < 0:
        return
    # The remote clock was read between asked_at and answered_at, and counts whole seconds.
    ahead = facts.clock - facts.answered_at if facts.clock > facts.answered_at else 0.0
    behind = facts.asked_at - facts.clock - 1 if facts.clock + 1 < facts.asked_at else 0.0
    difference = max(ahead, behind)
    if difference <= MOST_SKEW_SECONDS:
        most = difference + facts.answered_at - facts.asked_at + 1
        yield ok("clock", f"differs from this machine's clock by at most {most:.0f} s")
        return
    remote = datetime.fromtimestamp(min(facts.clock, 2**32), timezone.utc)
    side = "ahead of" if ahead else "behind"
    words = f"{remote:%Y-%m-%d %H:%M:%S} UTC, {difference:.0f} s {side} this machine"
    do = "set this machine's clock (timedatectl set-ntp true), or report the wrong clock to the site's support"
    yield failed("clock", words, do)


def software_findings(facts: Facts, site: Site, *, image: str | None) -> Iterator[Finding]:
    """The findings about container runtime, container image and Python.

    Args:
        image: the remote path of the image that check.sh looked for; None if it looked for none.
    """
    runtime = facts.answers.get("container")
    if runtime is not None and runtime.well:
        yield ok("container", f"{runtime.words} (on the login node)")
    elif runtime is not None and not find(site.scheduler).has_queues:
        yield runtime_missing(f"{runtime.words or site.container.runtime} (on this machine)", site)
    elif runtime is not None:
        words = f"{runtime.words or site.container.runtime} (on the login node)"
        yield note("container", words, "some sites have it only on compute nodes: --job checks there")
    if "image" in facts.answers:
        yield _image(facts, str(image))
    python = facts.answers.get("python")
    if python is not None:
        yield python_finding(python.words if python.well else "", python.words, site)


def runtime_missing(words: str, site: Site) -> Finding:
    """There is no container runtime where jobs run: a failure if the site file sets container, else a note."""
    do = "set container: (runtime, modules) to what the site has, or have it installed; only container jobs need it"
    return (note if site.container == ContainerSettings() else failed)("container", words, do)


def _image(facts: Facts, image: str) -> Finding:
    answer = facts.answers["image"]
    if answer.well:
        return ok("image", f"{image} exists")
    return failed("image", answer.words, "give the remote path of an image (--image), or fix container: binds")


def python_finding(version: str, words: str, site: Site) -> Finding:
    """The finding about the Python that runs functions.

    Args:
        version: the version that it printed, such as ``3.11``; empty if it failed.
        words: all that was printed.
        site: the site whose Python it is.
    """
    digits = version.split(".")[:2]
    if len(digits) != 2 or not all(is_number(part, digits=3) for part in digits):
        if "standard library" in words:
            do = "set python: to a complete one (in Debian the package python3, which python3-minimal is not)"
            return failed("python", f"{site.python}: {words}", do)
        do = "set python: (and modules: or prologue:) so that it is found; only functions and .py scripts need it"
        return failed("python", f"{site.python}: {words or 'printed nothing'}", do)
    if (int(digits[0]), int(digits[1])) < OLDEST_PYTHON:
        return failed("python", f"{site.python} is version {version}", "set python: to version 3.6 or later")
    return ok("python", f"{site.python} is version {version}")
