"""Bundles go to a site: new ones, those that were cut off, those that waited for a place, and failed jobs once more.

What is sent is made and recorded elsewhere (`submission`, `retry`); when, and after what, is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.batch.base import BatchSystem
from scheduler.engine.submit import retry, submission
from scheduler.errors import BatchError, ConfigError, JobError, TransportError
from scheduler.job.state import JobState
from scheduler.ledger.ledger import Ledger
from scheduler.ledger.owner import is_gone, owner
from scheduler.ledger.rows import Slot
from scheduler.site.site import Site
from scheduler.transports.base import Transport

UNHEARD_POLLS = 3
"""A batch whose submission had no answer is tried again after so many answered polls in which nobody knew of it."""
_AGAIN = "submit: nobody has heard of it; handed over once more (its script runs its payload once all the same)"


class Dispatcher:
    """The way of bundles to one site."""

    def __init__(self, site: Site, system: BatchSystem, ledger: Ledger, transport: Transport) -> None:
        self.site, self.system, self.ledger, self.transport = site, system, ledger, transport

    def send(self, token: str, *, again: bool = False, firsts: Sequence[int] = ()) -> dict[int, str]:
        """Send a recorded bundle, or ask after it if it is there, and write down what was answered.

        Args:
            again: what had no answer is tried once more.
            firsts: batches that have just been given a place.

        Returns:
            Jobs that were to be tried again and are not, by their keys, and why.

        Raises:
            TransportError, JobError, BatchError: as `submission.send`.
        """
        self._note(token, _AGAIN if again else f"submit: to {self.site.name}")
        try:
            answers = submission.send(token, self.site, self.system, self.ledger, self.transport, again=again)
        except (TransportError, BatchError) as error:
            self._note(token, f"submit: {error}")
            raise
        if answers.busy and firsts:
            self.ledger.slots.take_back(token, firsts)
        return submission.record_statuses(answers, self.ledger.of_bundle(token), self.system, self.ledger)

    def fill(self) -> dict[int, str]:
        """Hand over what waited for a place at the site, as far as there is room now: a remote command for each
        submission of which something goes, none if nothing does.

        Returns:
            Jobs that were to be tried again and are not, by their keys, and why.

        Raises:
            TransportError, JobError, BatchError: as `submission.send`.
        """
        given = self.ledger.slots.give(self.site.name, self.site.limits.queued, owner=owner())
        taken_back: dict[int, str] = {}
        for token, firsts in given.items():
            taken_back |= self.send(token, firsts=firsts)
        return taken_back

    def resume(self) -> str:
        """Bundles whose sending was cut, by us or by a process that has ended, are sent on.

        Returns:
            Why one of them could not be; it does not hold up the others.
        """
        held_up = ""
        for bundle in self.ledger.unsent(self.site.name):
            if not is_gone(bundle["owner"]):
                continue
            whole = self.ledger.of_bundle(bundle["token"])
            rows = [row for row in whole if not row.waiting]
            unheard = [row for row in rows if row.status.state is JobState.SUBMITTING and row.batch_id is None]
            again = bool(unheard) and all(row.silent >= UNHEARD_POLLS for row in unheard)
            answered = not unheard and len(rows) == len(whole)
            if rows and (bundle["folder"] is None or again or answered):
                try:
                    self.send(bundle["token"], again=again)
                except BatchError as error:
                    held_up = str(error)
        return held_up

    def try_again(self) -> None:
        """Plan another attempt of those jobs that have failed in a way that asks for one; `fill` sends it."""
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
        return refused | (self.fill() if token else {})

    def _note(self, token: str, text: str) -> None:
        """For the history of those jobs of a bundle that are on their way."""
        waiting = {batch.first for batch in self.ledger.batches(token) if batch.slot is Slot.WAITS}
        rows = self.ledger.states(token)
        on_their_way = [row.key for row in rows if row.state is JobState.SUBMITTING and row.first not in waiting]
        self.ledger.observe({}, dict.fromkeys(on_their_way, text))
