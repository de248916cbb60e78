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

from scheduler.batch.base import BatchSystem
from scheduler.engine import cancel
from scheduler.engine.collect.fetch import Progress, fetch
from scheduler.engine.collect.manifest import Manifest, manifest
from scheduler.engine.collect.results import results_of
from scheduler.engine.poll.poll import poll
from scheduler.engine.submit import retry
from scheduler.engine.submit.dispatch import Dispatcher
from scheduler.errors import BatchError, HostKeyError, JobError, LoginError, OutputError, TransportError, WaitTimeout
from scheduler.job.retry_policy import Again
from scheduler.job.state import Cause
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.rows import JobRow, Stand
from scheduler.site.site import Site
from scheduler.transports.base import Transport

SLOWEST_POLL_SECONDS = 300.0
"""While nothing changes, the time between two questions grows up to this."""
TOGETHER = 1000
"""The results of so many jobs are written down at once."""


class SiteSession:
    """The rows of one site, and the way there.

    Attributes:
        sending: how bundles get there.
        trouble: why the last question had no answer, for a person; empty if it had.
    """

    def __init__(self, site: Site, system: BatchSystem, ledger: Ledger, transport: Transport) -> None:
        self.site, self.system, self.ledger, self.transport = site, system, ledger, transport
        self.dispatcher = Dispatcher(site, system, ledger, transport)
        self.trouble = ""

    @property
    def poll_seconds(self) -> float:
        """The site is not asked more often than this."""
        return self.site.limits.poll_seconds or self.system.poll_seconds

    def poll(self) -> None:
        """Look at every job of the site that has not ended: one remote command, or none if it was asked just now; one
        more for each submission of which something goes: what waited for a place, and what is to be tried again.

        Raises:
            TransportError: the site was not reached; no state has changed.
        """
        before = self.ledger.sites.polled_at(self.site.name)
        if self.ledger.sites.claim_poll(self.site.name, self.poll_seconds):
            held_up = self.dispatcher.resume()
            words = poll(self.site, self.system, self.ledger, self.transport, asked_before=before)
            self.trouble = words or held_up
        self.dispatcher.try_again()
        try:
            self.dispatcher.fill()
        except (BatchError, JobError) as error:  # keeps nobody from following the others; the next poll tries
            self.trouble = str(error)

    def collect(self, keys: Sequence[int], *, progress: Progress | None = None) -> None:
        """Bring home the outputs of those that have ended, and write down their results: two remote commands.

        Raises:
            OutputError: a file is not what was announced, or cannot be written here. Collect again.
            TransportError: the line was cut; what is home stays.
        """
        ended = self.ledger.ended(keys)
        going_on = self.due(ended)
        rows = [row for row in ended if row.key not in going_on]
        if not rows:
            return
        began = [row for row in rows if row.folder is not None and row.status.cause is not Cause.REFUSED]
        with tempfile.TemporaryDirectory(prefix="scheduler-") as scratch:
            listed = manifest(began, self.transport, Path(scratch)) if began else Manifest()
            failed = self._fetch(listed, progress)
            home = [row for row in rows if failed is None or row.key not in failed.jobs]
            for start in range(0, len(home), TOGETHER):
                self._write_down(home[start : start + TOGETHER], listed)
        if failed is not None:
            self.ledger.observe({}, dict.fromkeys(failed.jobs, f"collect: {failed}"))
            raise failed

    def _write_down(self, rows: Sequence[JobRow], listed: Manifest) -> None:
        """What came of jobs whose outputs are home. Of ten thousand at once the results would fill the memory."""
        judged = {row.key: results_of(row, listed) for row in rows}
        changed = {row.key: judged[row.key][0] for row in rows if judged[row.key][0] != row.status}
        said = {key: f"outputs: {status}: {status.reason}" for key, status in changed.items()}
        home = {row.key: f"collected: {len(listed.of(row.key))} files are home" for row in rows}
        self.ledger.observe(changed, home | said)
        retries = {row.key: row.retries for row in rows}
        self.ledger.record_results({key: results for key, (_, results) in judged.items()}, retries)

    def _fetch(self, listed: Manifest, progress: Progress | None) -> OutputError | None:
        """Files of one job that cannot be kept do not hold up its siblings."""
        try:
            fetch(listed.outputs, self.transport, progress)
        except OutputError as error:
            if not error.jobs:
                raise
            return error
        return None

    def cancel(self, keys: Sequence[int]) -> None:
        """End those that have not ended, in one remote command.

        Raises:
            BatchError, TransportError: as `cancelling.cancel`.
        """
        cancel.cancel(keys, self.site, self.system, self.ledger, self.transport)

    def due(self, rows: Sequence[JobRow]) -> set[int]:
        """The keys of those that have ended and are about to be tried again."""
        judged = retry.judge(rows, self.site, self.ledger)
        return {key for key, following in judged.items() if isinstance(following, Again)}

    def look(self, keys: Sequence[int], *, progress: Progress | None = None) -> None:
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
        progress: Progress | None = None,
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
            LoginError, HostKeyError: as `look`. OutputError: likewise, once nothing else is waited for.
        """
        started, pause, before = time.monotonic(), self.poll_seconds, dict[Stand, int]()
        while True:
            held_up = self._look(keys, progress)
            if seen is not None:
                seen()
            now = self.ledger.polls.stands(keys)
            left = {stand: count for stand, count in now.items() if not stand.done}
            if not left:
                return
            if held_up is not None and all(stand.state.final for stand in left):
                raise held_up
            passed = time.monotonic() - started
            if timeout is not None and passed >= timeout:
                which = f"{sum(left.values())} of {sum(now.values())} jobs"
                raise WaitTimeout(f"{which} are not done with after {timeout:g} s; they go on")
            longer = min(pause * 1.5, max(SLOWEST_POLL_SECONDS, self.poll_seconds))
            pause, before = self.poll_seconds if now != before else longer, now
            jitter = pause * random.uniform(1.0, 1.1)  # noqa: S311  (many laptops must not ask in step)
            sleep(jitter if timeout is None else max(0.0, min(jitter, timeout - passed)))

    def _look(self, keys: Sequence[int], progress: Progress | None) -> OutputError | None:
        """What keeps outputs of some of them from coming home."""
        try:
            self.look(keys, progress=progress)
        except OutputError as error:
            return error
        return None
