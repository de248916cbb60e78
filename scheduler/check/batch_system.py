"""Findings about the batch system: queue, account, limits, directives. Pure: facts and a site give findings."""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.batch.base import find
from scheduler.batch.capabilities import Answer, Queue
from scheduler.check.facts import Facts
from scheduler.check.finding import Finding, failed, note, ok
from scheduler.job.units import format_walltime
from scheduler.site.site import Site

_MOST_NAMES = 12
"""A finding names at most this many queues or accounts."""


def batch_system_findings(facts: Facts, site: Site) -> Iterator[Finding]:
    """The findings about the batch system of a site. If its commands do not work, there is only one finding."""
    capabilities = facts.capabilities
    if capabilities.missing:
        words = f"{site.scheduler}: {', '.join(capabilities.missing)}: command not found"
        do = "check scheduler: in the site file, or put the commands on the PATH of login shells (/etc/profile)"
        yield failed("batch system", words, do)
        return
    if capabilities.live is None:
        error = facts.answers["batch_error"].words if "batch_error" in facts.answers else "its commands printed nothing"
        yield failed("batch system", f"{site.scheduler}: {error}", "run its commands by hand on the login node")
        return
    version = capabilities.version or site.scheduler
    if capabilities.live.well:
        yield ok("batch system", f"{version}; the queue can be queried")
    else:
        do = "the queue cannot be queried: try later, or contact the site's support"
        yield failed("batch system", f"{version}: {capabilities.live.words}", do)
    if capabilities.history is not None:
        yield _history(capabilities.history)
    yield from _queue(facts, site)
    yield from _account(facts, site)
    yield from _limits(facts, site)
    for name, value in capabilities.variables:
        words = f"{name}={value} is set on the login node: it applies to each job whose directives leave it open"
        yield note("environment", words, f"remove {name} from your login files, or set the key of the site file")
    if capabilities.trial is not None:
        yield _directives(capabilities.trial)
    unknown = [option for option in site.native_options if option not in capabilities.options]
    if unknown and capabilities.options:
        words = f"{find(site.scheduler).submit_command.split()[0]} of this site has no option --{', --'.join(unknown)}"
        yield failed("native_options", words, "remove it from native_options: and native: in the site file")


def _history(answer: Answer) -> Finding:
    if answer.well:
        return ok("history", "finished jobs can be queried")
    do = "nothing: a job's own end file proves its end; the cause is less certain for jobs that were killed"
    return note("history", f"finished jobs cannot be queried: {answer.words}", do)


def _queue(facts: Facts, site: Site) -> Iterator[Finding]:
    """A Slurm site file may name several partitions, separated by commas."""
    if not facts.capabilities.queues:
        return
    do = f"set queue: to one of {', '.join(one.name for one in facts.capabilities.queues[:_MOST_NAMES])}"
    for name in site.queue.split(",") if site.queue else [None]:
        queue = facts.capabilities.queue(name)
        if queue is None and name is None:
            yield note("queue", "the site file sets no queue, and the batch system has no default one", do)
        elif queue is None:
            yield failed("queue", f"{name!r} does not exist", do)
        elif queue.state != "up":
            yield failed("queue", f"{queue.name!r} is {queue.state}", f"wait until it is open, or {do}")
        else:
            longest = f"walltime at most {format_walltime(queue.walltime)}" if queue.walltime else "no walltime limit"
            default = "" if name else " (the default queue; the site file sets none)"
            yield ok("queue", f"{queue.name}: {longest}{default}")


def _account(facts: Facts, site: Site) -> Iterator[Finding]:
    accounts = list(dict.fromkeys(name for name, _ in facts.capabilities.accounts))
    listed = ", ".join(accounts[:_MOST_NAMES])
    if not accounts:
        if site.account:
            yield note("account", f"{site.account}: not checked; the batch system does not list your accounts")
    elif site.account is None:
        yield ok("account", f"the batch system's default account; your accounts: {listed}")
    elif site.account not in accounts:
        do = f"set account: to one of {listed}; or ask to be added to this account"
        words, trial = f"{site.account!r} is not one of your accounts", facts.capabilities.trial
        if trial is not None and trial.well:  # Slurm does not enforce accounts unless the site sets that
            yield note("account", f"{words}, but a job with it would be accepted", do)
        else:
            yield failed("account", words, do)
    else:
        queues = [queue for name, queue in facts.capabilities.accounts if name == site.account and queue]
        yield ok("account", site.account + (f", for {', '.join(queues[:_MOST_NAMES])}" if queues else ""))


def _limits(facts: Facts, site: Site) -> Iterator[Finding]:
    names = site.queue.split(",") if site.queue else [None]
    queues = [queue for queue in map(facts.capabilities.queue, names) if queue is not None and queue.walltime]
    if queues:
        yield _walltime(max(queues, key=lambda queue: queue.walltime or 0), site)
    largest, ours = facts.capabilities.array_size, site.limits.array_size or 1000
    if largest is not None:
        words = f"the batch system allows {largest} array tasks; the site file allows {ours}"
        do = f"set limits: {{array_size: {largest}}}"
        yield failed("array size", words, do) if ours > largest else ok("array size", words)


def _walltime(queue: Queue, site: Site) -> Finding:
    longest = queue.walltime
    assert longest is not None  # noqa: S101  (the caller selects queues that have a limit)
    text = format_walltime(longest)
    default, limit = site.defaults.walltime, site.limits.walltime
    if default is not None and default > longest:
        words = f"{queue.name} allows {text}; the site file's default for jobs is {format_walltime(default)}"
        return failed("walltime", words, f'set defaults: {{walltime: "{text}"}}, or another queue')
    do = f'set limits: {{walltime: "{text}"}}'
    if limit is None:
        return note("walltime", f"{queue.name} allows {text}; the site file sets no limit", do)
    words = f"{queue.name} allows {text}; the site file allows {format_walltime(limit)}"
    return failed("walltime", words, f"{do}, or another queue") if limit > longest else ok("walltime", words)


def _directives(answer: Answer) -> Finding:
    if answer.well:
        return ok("directives", "a job with the site's defaults would be accepted")
    do = "change the setting that the message is about: account, queue, qos, constraint, defaults or native"
    return failed("directives", f"a job with the site's defaults would be refused: {answer.words}", do)
