"""What is done at one site for jobs that the ledger knows: sent on, asked after, collected, cancelled, waited for.

Jobs are rows here, named by their keys, so that any later process can go on with what another one began. `Runner` joins
rows with Job objects.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scheduler import collector, poller, remote, retry, submission
from scheduler.batch.base import BatchSystem, write_indices
from scheduler.errors import (
    BatchError,
    ConfigError,
    HostKeyError,
    JobError,
    LoginError,
    TransportError,
    WaitTimeout,
)
from scheduler.job.retry import Again
from scheduler.job.state import Cause, JobState
from scheduler.ledger import Ledger
from scheduler.ledger_attempts import Attempts
from scheduler.ledger_rows import JobRow
from scheduler.process import is_gone
from scheduler.results import results_of
from scheduler.site.site import Site
from scheduler.transports.base import Transport

SLOWEST_POLL_SECONDS = 300.0
"""While nothing changes, the time between two questions grows up to this."""
UNHEARD_POLLS = 3
"""A batch whose submission had no answer is tried again after so many answered polls in which nobody knew of it."""


class SiteWork:
    """The rows of one site, and the way there.

    Attributes:
        trouble: why the last question had no answer, for a person; empty if it had.
    """

    def __init__(self, site: Site, system: BatchSystem, ledger: Ledger, transport: Transport) -> None:
        self.site, self.system, self.ledger, self.transport = site, system, ledger, transport
        self.trouble = ""

    @property
    def poll_seconds(self) -> float:
        """The site is not asked more often than this."""
        return self.site.limits.poll_seconds or self.system.poll_seconds

    def send(self, token: str, *, again: bool = False) -> dict[int, str]:
        """Send a recorded bundle, or ask after it if it is there, and write down what was answered.

        Returns:
            Jobs that were to be tried again and are not, by their keys, and why.

        Raises:
            TransportError, JobError, BatchError: as `submission.send`.
        """
        answers = submission.send(token, self.site, self.system, self.ledger, self.transport, again=again)
        return submission.record_statuses(answers, self.ledger.of_bundle(token), self.system, self.ledger)

    def poll(self) -> None:
        """Look at every job of the site that has not ended: one remote command, or none if it was asked just now.

        Those that have failed and are worth another attempt are then submitted again: one more remote command.

        Raises:
            TransportError: the site was not reached; no state has changed.
        """
        if self.ledger.claim_poll(self.site.name, self.poll_seconds):
            self.trouble = ""
            self._resume()
            said = poller.poll(self.site, self.system, self.ledger, self.transport)
            self.trouble = said or self.trouble
        self._try_again()

    def collect(self, keys: Sequence[int], *, progress: collector.Progress | None = None) -> None:
        """Bring home the outputs of those that have ended, and write down their results: two remote commands.

        Raises:
            OutputError: a file is not what was announced, or cannot be written here. Collect again.
            TransportError: the line was cut; what is home stays.
        """
        ended = [row for row in self.ledger.of_keys(keys) if row.status.final and not row.collected]
        going_on = self.due(ended)
        rows = [row for row in ended if row.key not in going_on]
        if not rows:
            return
        began = [row for row in rows if row.folder is not None and row.status.cause is not Cause.REFUSED]
        with tempfile.TemporaryDirectory(prefix="scheduler-") as scratch:
            listed = collector.manifest(began, self.transport, Path(scratch)) if began else collector.Manifest()
            collector.fetch(listed.outputs, self.transport, progress)
            judged = {row.key: results_of(row, listed) for row in rows}
        changed = {row.key: judged[row.key][0] for row in rows if judged[row.key][0] != row.status}
        said = {key: f"outputs: {status}: {status.reason}" for key, status in changed.items()}
        self.ledger.observe(changed, said)
        tries = {row.key: row.tries for row in rows}
        self.ledger.record_results({key: results for key, (_, results) in judged.items()}, tries)

    def cancel(self, keys: Sequence[int]) -> None:
        """Ask the batch system to end those that have not ended, in one remote command.

        Raises:
            BatchError: its cancel command failed, in its own words.
            TransportError: the site was not reached.
        """
        batches: dict[tuple[str, int], list[JobRow]] = {}
        Attempts(self.ledger).never_again(keys)  # before they are looked at: nobody may move them from then on
        for row in self.ledger.of_keys(keys):
            if not row.status.final:
                batches.setdefault((row.bundle, row.first), []).append(row)
        if not batches:
            return
        question = "".join(_cancel_line(members) for members in batches.values()).encode()
        program = remote.program("cancel", self.site.scheduler)
        reply = self.transport.run(program, stdin=question, timeout=poller.POLL_SECONDS)
        if reply.exit_code != 0:
            words = reply.err.strip() or reply.out.strip()
            message = f"site {self.site.name!r}: cancelling failed (exit code {reply.exit_code}): {words}"
            raise BatchError(message, command="cancel", exit_code=reply.exit_code, words=words)

    def due(self, rows: Sequence[JobRow]) -> set[int]:
        """The keys of those that have ended and are about to be tried again."""
        judged = retry.judge(rows, self.site, self.ledger)
        return {key for key, following in judged.items() if isinstance(following, Again)}

    def retry(self, keys: Sequence[int], *, memory: str | None = None, walltime: str | None = None) -> dict[int, str]:
        """Submit jobs again that ended without completing, in one remote command.

        Args:
            memory: what they ask for now instead.
            walltime: likewise.

        Returns:
            Those of the jobs that are not tried again, by their keys, and why.

        Raises:
            JobError: the site does not allow so much; nothing was submitted.
            ConfigError: a template or a directive is wrong now; nothing was submitted.
            TransportError: the line was cut; nothing is lost, and the next poll sends what did not arrive.
        """
        refused: dict[int, str] = {}
        token = None
        while token is None:
            rows = self.ledger.of_keys(keys)
            refused = {row.key: why for row in rows if (why := retry.why_not(row))}
            rows = [row for row in rows if row.key not in refused]
            wishes = retry.by_hand(rows, self.site, self.ledger, memory=memory, walltime=walltime)
            token = retry.plan(wishes, self.site, self.system, self.ledger) if wishes else ""
        return refused | (self.send(token) if token else {})

    def look(self, keys: Sequence[int], *, progress: collector.Progress | None = None) -> None:
        """Poll, and collect what has ended. A line that breaks is kept as `trouble`: it says nothing of the jobs.

        Raises:
            LoginError, HostKeyError: trying again would not help.
            OutputError: as `collect`.
        """
        try:
            self.poll()
            self.collect(keys, progress=progress)
        except (LoginError, HostKeyError):
            raise
        except TransportError as error:
            self.trouble = str(error)

    def wait(
        self,
        keys: Sequence[int],
        *,
        timeout: float | None = None,
        seen: Callable[[], None] | None = None,
        progress: collector.Progress | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Look again and again until all of them have ended and are home.

        Args:
            timeout: seconds after which to give up waiting.
            seen: called after each look.
            progress: told the bytes that come home.
            sleep: called with the seconds between two looks.

        Raises:
            WaitTimeout: `timeout` has passed. The jobs go on.
            LoginError, HostKeyError, OutputError: as `look`.
        """
        started, pause, before = time.monotonic(), self.poll_seconds, ""
        while True:
            self.look(keys, progress=progress)
            if seen is not None:
                seen()
            rows = self.ledger.of_keys(keys)
            left = [row for row in rows if not (row.status.final and row.collected)]
            if not left:
                return
            passed = time.monotonic() - started
            if timeout is not None and passed >= timeout:
                raise WaitTimeout(f"{len(left)} of {len(rows)} jobs are not done with after {timeout:g} s; they go on")
            now = " ".join(str(row.status) for row in rows)
            slowest = max(SLOWEST_POLL_SECONDS, self.poll_seconds)
            pause = self.poll_seconds if now != before else min(pause * 1.5, slowest)
            before = now
            jitter = pause * random.uniform(1.0, 1.1)  # noqa: S311  (many laptops must not ask in step)
            sleep(jitter if timeout is None else max(0.0, min(jitter, timeout - passed)))

    def _try_again(self) -> None:
        token = None
        while token is None:  # another process was faster with one of them: those that are left
            rows = self.ledger.failed(self.site.name)
            judged = retry.judge(rows, self.site, self.ledger)
            retry.say_enough(rows, judged, self.ledger)
            wishes = retry.wishes_for(rows, judged, self.site)
            if not wishes:
                return
            try:
                token = retry.plan(wishes, self.site, self.system, self.ledger)
            except (ConfigError, JobError):
                if not retry.give_up_those_that_cannot(wishes, self.site, self.system, self.ledger):
                    raise
        self._send_again(token)

    def _send_again(self, token: str, *, again: bool = False) -> None:
        """That jobs cannot be submitted again just now keeps nobody from following the others; the next poll tries."""
        try:
            self.send(token, again=again)
        except BatchError as error:
            self.trouble = str(error)

    def _resume(self) -> None:
        """Bundles whose sending was cut, by us or by a process that has ended, are sent on."""
        for bundle in self.ledger.unsent(self.site.name):
            if not is_gone(bundle["owner"]):
                continue
            rows = self.ledger.of_bundle(bundle["token"])
            unheard = [row for row in rows if row.status.state is JobState.SUBMITTING and row.batch_id is None]
            again = bool(unheard) and all(row.silent >= UNHEARD_POLLS for row in unheard)
            if bundle["folder"] is None or again or not unheard:
                send = self._send_again if any(row.tries for row in rows) else self.send
                send(bundle["token"], again=again)


def _cancel_line(rows: Sequence[JobRow]) -> str:
    one = rows[0]
    indices = write_indices(row.index for row in rows) if one.in_array else ""
    return f"{one.folder or ''}\t{one.name}\t{one.batch_id or '-'}\t{one.first}\t{indices}\n"
