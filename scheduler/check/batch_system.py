"""What a batch system's answers mean for a site: queue, account, limits. Pure: facts and a site to findings."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.batch.capabilities import Queue
from scheduler.check.facts import Facts
from scheduler.check.finding import Finding, failed, note, ok
from scheduler.job.units import format_walltime
from scheduler.site.site import Site


def of_batch_system(facts: Facts, site: Site) -> Iterator[Finding]:
    offer = facts.offer
    if offer.missing:
        do = "check `scheduler:` in the site file; or put the commands on PATH for login shells (/etc/profile)"
        words = f"{site.scheduler}: {', '.join(offer.missing)}: command not found"
        yield failed("batch system", words, do)
        return
    if offer.live is None:
        words = facts.said["complaint"].words if "complaint" in facts.said else "said nothing of itself"
        yield failed("batch system", f"{site.scheduler}: {words}", "try its commands over there by hand")
        return
    version = offer.version or site.scheduler
    if offer.live.well:
        yield ok("batch system", f"{version}; its queue answers")
    else:
        yield failed(
            "batch system", f"{version}: {offer.live.words}", "its server does not answer: try later, or ask the site"
        )
    if offer.history is not None:
        yield from _of_history(offer.history.well, offer.history.words)
    yield from _of_queue(facts, site)
    yield from _of_account(facts, site)
    yield from _of_limits(facts, site)
    if offer.trial is not None:
        yield _of_trial(facts)


def _of_history(well: bool, words: str) -> Iterator[Finding]:
    if well:
        yield ok("history", "jobs that have left the queue can be asked after")
    else:
        do = "nothing: ends are proved by the jobs' own end files; only of a killed job less is known"
        yield note("history", f"there is none: {words}", do)


def _of_queue(facts: Facts, site: Site) -> Iterator[Finding]:
    """Several partitions may be given at once, with commas."""
    if not facts.offer.queues:
        return
    known = ", ".join(one.name for one in facts.offer.queues[:12])
    for name in site.queue.split(",") if site.queue else [None]:
        queue = facts.offer.queue(name)
        if queue is None and name is None:
            yield note("queue", "the site file names none, and there is no default one", f"set queue: one of {known}")
        elif queue is None:
            yield failed("queue", f"there is no {name!r}", f"set queue: one of {known}")
        elif queue.state != "up":
            yield failed(
                "queue", f"{queue.name!r} is {queue.state}", f"wait until it is open, or set queue: one of {known}"
            )
        else:
            longest = f"at most {format_walltime(queue.walltime)}" if queue.walltime else "no limit of time"
            yield ok("queue", f"{queue.name}: {longest}" + ("" if name else " (the default; the site file names none)"))


def _of_account(facts: Facts, site: Site) -> Iterator[Finding]:
    mine = list(dict.fromkeys(name for name, _ in facts.offer.accounts))
    if not mine:
        if site.account:
            yield note(
                "account", f"{site.account}: not checked, the batch system does not tell whose accounts are whose"
            )
    elif site.account is None:
        yield ok("account", f"the batch system's default; yours: {', '.join(mine[:12])}")
    elif site.account not in mine:
        words = f"{site.account!r} is none of yours"
        yield failed("account", words, f"set account: one of {', '.join(mine[:12])}; or ask to be added to it")
    else:
        only = [queue for name, queue in facts.offer.accounts if name == site.account and queue]
        yield ok("account", site.account + (f", for {', '.join(only[:12])}" if only else ""))


def _of_limits(facts: Facts, site: Site) -> Iterator[Finding]:
    names = site.queue.split(",") if site.queue else [None]
    queues = [queue for queue in map(facts.offer.queue, names) if queue is not None and queue.walltime]
    if queues:
        yield _walltime(max(queues, key=lambda queue: queue.walltime or 0), site)
    most, ours = facts.offer.array_size, site.limits.array_size or 1000
    if most is not None and ours > most:
        do = f"set limits: {{array_size: {most}}}"
        yield failed("array size", f"an array may have {most} elements; the site file allows {ours}", do)
    elif most is not None:
        yield ok("array size", f"at most {most}; the site file has {ours}")


def _walltime(queue: Queue, site: Site) -> Finding:
    longest = queue.walltime
    assert longest is not None  # noqa: S101  (the caller has chosen those that have one)
    text = format_walltime(longest)
    given, allowed = site.defaults.walltime, site.limits.walltime
    if given is not None and given > longest:
        words = (
            f"{queue.name} allows {text}; a job that does not ask gets {format_walltime(given)}, and would never start"
        )
        return failed("walltime", words, f'set defaults: {{walltime: "{text}"}}, or another queue')
    if allowed is not None and allowed > longest:
        words = f"{queue.name} allows {text}; the site file lets jobs ask for {format_walltime(allowed)}"
        return failed("walltime", words, f'set limits: {{walltime: "{text}"}}, or another queue')
    if allowed is None:
        return note(
            "walltime", f"{queue.name} allows {text}; the site file has no limit", f'set limits: {{walltime: "{text}"}}'
        )
    return ok("walltime", f"{queue.name} allows {text}; the site file {format_walltime(allowed)}")


def _of_trial(facts: Facts) -> Finding:
    trial = facts.offer.trial
    assert trial is not None  # noqa: S101
    if trial.well:
        return ok("directives", "a job with the site's defaults would be taken")
    do = "change what it objects to: account, queue, qos, constraint, defaults or native in the site file"
    return failed("directives", f"a job with the site's defaults would be refused: {trial.words}", do)
