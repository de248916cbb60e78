"""SiteSession: polls, collects, cancels and waits for the recorded jobs of one site. Its Dispatcher submits and
retries.

Jobs are rows of the ledger, named by their keys, so that any later process can continue what another one began.
`Runner` connects rows with Job objects.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scheduler.engine.cancel import cancel
from scheduler.engine.collect.collect import CHANGING_SECONDS, collect, collect_again
from scheduler.engine.collect.fetch import Progress
from scheduler.engine.context import SiteContext
from scheduler.engine.one_thread import OneThread
from scheduler.engine.poll.poll import poll
from scheduler.engine.submit import retry
from scheduler.engine.submit.dispatch import Dispatcher
from scheduler.errors import BatchError, HostKeyError, JobError, LoginError, OutputError, TransportError, WaitTimeout
from scheduler.job.retry_policy import Again
from scheduler.ledger.rows import JobRow, Stand

SLOWEST_POLL_SECONDS = 300.0
"""While nothing changes, the time between two polls grows up to this."""


def _raise_if_lasting(error: OutputError, times: list[float]) -> None:
    """Raise an error, unless its outputs are still changing: `collect` gives these up, if it is certain that they do.

    `times`: of the earlier calls for the same jobs; this one is added.
    """
    times.append(time.monotonic())
    is_enough = len(times) >= 12 or (len(times) >= 4 and times[-1] - times[0] > 1.5 * CHANGING_SECONDS)
    if not error.changing or is_enough:
        raise error


class SiteSession:
    """Acts for the recorded jobs of one site.

    Attributes:
        context: the site and how to act on it.
        dispatcher: submits and retries its jobs.
        acting: one thread at a time submits, polls, retries or cancels. Another one may collect at the same time.
        last_error: why the last poll got no answer or could not submit waiting jobs; empty if it had no error.
    """

    def __init__(self, context: SiteContext) -> None:
        self.context = context
        self.dispatcher = Dispatcher(context)
        self.last_error = ""
        self.acting, self._collecting = OneThread(), OneThread()

    @property
    def poll_seconds(self) -> float:
        """The least time between two polls of the site."""
        return self.context.poll_seconds

    def poll(self) -> None:
        """Update the status of every unfinished job of the site, in one remote command; none if the site has been
        polled within `poll_seconds`, by any process.

        Then submit waiting jobs that get a slot, and retries: one more remote command for each bundle with such a job.

        Raises:
            TransportError: the site could not be reached; no status has changed.
        """
        with self.acting:
            sites, name = self.context.ledger.sites, self.context.key
            before = sites.polled_at(name)
            if sites.claim_poll(name, self.poll_seconds):
                problem = self.dispatcher.resume()
                self.last_error = poll(self.context, polled_before=before) or problem
            self.dispatcher.plan_retries()
            try:
                self.dispatcher.send_waiting()
            except (
                BatchError,
                JobError,
            ) as error:  # the other jobs must be followed; the next poll submits again
                self.last_error = str(error)

    def collect(self, keys: Sequence[int], *, progress: Progress | None = None) -> None:
        """Collect the finished jobs among these that are not collected yet and not due for a retry.

        Args:
            keys: the jobs.
            progress: called while bytes arrive.

        Raises:
            OutputError, TransportError: as `collect.collect.collect`.
        """
        with self._collecting:
            finished = self.context.ledger.uncollected(keys)
            due = self.due_for_retry(finished)
            collect([row for row in finished if row.key not in due], self.context, progress=progress)

    def collect_again(self, keys: Sequence[int], *, to: Path | None, progress: Progress | None = None) -> None:
        """Download the outputs of collected jobs once more: see `collect.collect.collect_again`."""
        with self._collecting:
            rows = [row for row in self.context.ledger.of_keys(keys) if row.collected and row.folder is not None]
            collect_again(rows, self.context, to=to, progress=progress)

    def cancel(self, keys: Sequence[int]) -> None:
        """Cancel the unfinished jobs among these, in one remote command.

        Args:
            keys: the jobs.

        Raises:
            BatchError, TransportError: as `cancel.cancel`.
        """
        with self.acting:
            cancel(keys, self.context)

    def due_for_retry(self, rows: Sequence[JobRow]) -> set[int]:
        """The keys of the jobs that failed and get another attempt by their retry rules."""
        decisions = retry.decide(rows, self.context)
        return {key for key, decision in decisions.items() if isinstance(decision, Again)}

    def poll_and_collect(self, keys: Sequence[int], *, progress: Progress | None = None) -> None:
        """Poll, and collect what has finished. A lost connection becomes `last_error`: it is not evidence about jobs.

        Args:
            keys: the jobs to collect.
            progress: called while bytes arrive.

        Raises:
            LoginError, HostKeyError: polling once more would not help.
            OutputError: as `collect`.
        """
        try:
            self.poll()
            self.collect(keys, progress=progress)
        except (LoginError, HostKeyError):
            raise
        except TransportError as error:
            self.last_error = str(error)

    def wait(
        self,
        keys: Sequence[int],
        *,
        timeout: float | None = None,
        seen: Callable[[], None] | None = None,
        progress: Progress | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Poll and collect until all these jobs are finished and collected.

        Args:
            keys: the jobs.
            timeout: seconds after which to stop waiting; None: never.
            seen: called after each poll. `progress`: while bytes arrive. `sleep`: with the seconds until the next poll.

        Raises:
            WaitTimeout: `timeout` has passed. The jobs are not affected.
            LoginError, HostKeyError: as `poll_and_collect`.
            OutputError: outputs cannot be collected, and all other jobs are collected.
        """
        for _ in self.polls(keys, timeout=timeout, progress=progress, sleep=sleep):
            if seen is not None:
                seen()

    def polls(
        self, keys: Sequence[int], *, timeout: float | None, sleep: Callable[[float], None],
        progress: Progress | None = None,
    ) -> Iterator[None]:  # fmt: skip
        """Poll and collect as `wait` does, and yield after each time."""
        started, pause, before, changes = time.monotonic(), self.poll_seconds, dict[Stand, int](), list[float]()
        while True:
            output_error = self._poll_and_collect(keys, progress)
            yield
            now = self.context.ledger.polls.stands(keys)
            left = {stand: count for stand, count in now.items() if not stand.done}
            if not left:
                return
            if output_error is not None and all(stand.state.final for stand in left):
                _raise_if_lasting(output_error, changes)
            passed = time.monotonic() - started
            if timeout is not None and passed >= timeout:
                which = f"{sum(left.values())} of {sum(now.values())} jobs"
                raise WaitTimeout(f"{which} are not finished and collected after {timeout:g} s; they are not affected")
            pause, before = self.poll_seconds if now != before else self._longer(pause), now
            jitter = pause * random.uniform(1.0, 1.1)  # noqa: S311  (many laptops must not poll at the same moment)
            sleep(jitter if timeout is None else max(0.0, min(jitter, timeout - passed)))

    def _longer(self, pause: float) -> float:
        """The pause between polls after one that changed nothing, in seconds."""
        return min(pause * 1.5, max(SLOWEST_POLL_SECONDS, self.poll_seconds))

    def _poll_and_collect(self, keys: Sequence[int], progress: Progress | None) -> OutputError | None:
        """The error of outputs that cannot be collected, so that waiting for the other jobs continues."""
        try:
            self.poll_and_collect(keys, progress=progress)
        except OutputError as error:
            return error
        return None
