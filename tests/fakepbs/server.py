"""The server process: one socket, one loop. It listens unless its folder has a file `down`; SIGSTOP freezes it."""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

from .command import Refusal, Settings
from .jobs import Array, Job
from .node import Pace
from .queue import Queue

_TICK_SECONDS = 0.05


class Server:
    """Answers one request at a time, and lets time pass for the queue in between."""

    def __init__(self, prefix: Path) -> None:
        settings = Settings.of(prefix)
        self.home = settings.home
        for folder in ("spool", "aux", "mom_priv/jobs"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        values = json.loads((prefix / "server.json").read_text())
        pace = Pace(**values.pop("pace", {}))
        more = set(values.pop("resources", []))
        self.queue = Queue(settings.server, self.home, pace=pace, more=more, master=settings.master, **values)
        self.listening: socket.socket | None = None

    def serve(self) -> None:
        """Run until the file `pid` no longer holds the number of this process."""
        me = str(os.getpid())
        (self.home / "pid").write_text(me)
        while self._pid() == me:
            self._listen()
            pause = _TICK_SECONDS if any(not job.over for job in self.queue.jobs.values()) else 1.0
            ready = select.select([self.listening] if self.listening else [], [], [], pause)[0]
            if ready and self.listening:
                connection = self.listening.accept()[0]
                with connection:
                    self._serve(connection)
            self.queue.tick()

    def _pid(self) -> str:
        try:
            return (self.home / "pid").read_text()
        except OSError:
            return ""

    def _listen(self) -> None:
        down = (self.home / "down").exists()
        if down and self.listening:
            self.listening.close()
            self.listening = None
        elif not down and not self.listening:
            path = self.home / "socket"
            path.unlink(missing_ok=True)
            self.listening = socket.socket(socket.AF_UNIX)
            self.listening.bind(str(path))
            self.listening.listen(100)

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(60)
        try:
            with connection.makefile("rb") as reader:
                request = json.loads(reader.readline())
            answer = self.answer(request)
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except (OSError, ValueError) as error:  # the command was killed meanwhile; its job stays
            print(f"lost: {error!r}", file=sys.stderr, flush=True)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request."""
        kind, user = request.pop("do"), request.pop("user")
        try:
            result: Any = None
            if kind == "submit":
                result = self.queue.submit(user, request)
                self.queue.tick()
            elif kind == "delete":
                self.queue.delete(user, request["id"], force=request["force"], erase=request["erase"])
            elif kind in ("hold", "release"):
                self.queue.hold(user, request["id"], held=kind == "hold")
            elif kind == "select":
                result = list(self._selected(**request))
            elif kind == "status":
                result = self._status(**request)
        except Refusal as refusal:
            return {"refused": [refusal.message, refusal.code]}
        return {"result": result}

    def _selected(self, **wanted: Any) -> Any:
        if wanted["queue"] not in (None, "workq", "limitq", "stoppedq"):
            raise Refusal("qselect: Unknown queue destination\n", 170)
        for job in self.queue.listed(history=wanted["history"]):
            found: list[Job] = job.elements if isinstance(job, Array) and wanted["elements"] else [job]
            for one in found:
                right = (
                    wanted["name"] in (None, one.request["name"])
                    and wanted["owner"] in (None, one.owner)
                    and (wanted["states"] is None or one.state in wanted["states"])
                    and wanted["queue"] in (None, one.request["queue"])
                    and (not wanted["arrays"] or isinstance(one, Array))
                )
                if right:
                    yield one.id

    def _status(self, id: str, *, history: bool, elements: bool, owner: str | None) -> Any:
        """Jobs as ``[id, attributes]``; all of them for an empty id.

        Raises:
            Refusal: there is no such job.
        """
        if history and not self.queue.history:
            raise Refusal(f"qstat: PBS is not configured to maintain job history {id}\n", 0)
        if not id:
            jobs = list(self.queue.listed(history=history))
        elif id == "workq":
            jobs = [job for job in self.queue.listed(history=history) if job.request["queue"] == id]
        elif not id[0].isdigit():
            raise Refusal(f"qstat: Unknown queue destination {id}\n", 170)
        else:
            jobs = self.queue.find(id, "qstat")
            if jobs[0].state == "F" and not history:
                message = "Job has finished, use -x or -H to obtain historical job information"
                raise Refusal(f"qstat: {jobs[0].id if len(jobs) == 1 else id} {message}\n", 35)
        shown = [one for job in jobs for one in _shown(job, elements=elements, selected=owner is not None)]
        return [[job.id, job.attributes()] for job in shown if owner in (None, job.owner)]


def _shown(job: Job, *, elements: bool, selected: bool) -> list[Job]:
    """The rows of a job. With -t an array has a row for each task below its own; -u selects the tasks alone."""
    if not elements or not isinstance(job, Array):
        return [job]
    return job.elements if selected else [job, *job.elements]


if __name__ == "__main__":
    os.umask(0o022)
    time.tzset()
    Server(Path(sys.argv[1])).serve()
