"""What this library does, in a process of its own, so that its CPU seconds and its memory can be told.

    python -m benchmarks.ours WHAT '{"site": …, "here": …, …}'

It prints one JSON object a line: what was done, seconds, CPU seconds, the remote commands.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scheduler import Job, JobState, JobType, Resources, Runner, Site, Status
from scheduler.engine.connect import transport_to
from scheduler.ledger.ledger import Ledger
from scheduler.transports.base import Program
from tests.wrapped import Counting


class Bench:
    """One runner and its jobs."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.here = given, Path(given["here"])
        site = Site.from_mapping(given["site"], name="far")
        self.line = Counting(transport_to(site))
        self.runner = Runner(site, ledger=Ledger(self.here / "state"), transport=self.line)
        os.chdir(self.here)

    def jobs(self) -> None:
        """N held jobs: submitted, asked after, their outputs brought home."""
        count = self.given["count"]
        made = [
            self._job(str(n), {"input": self.here / "in" / str(n)}, ["out.bin"]) for n in range(count)
        ]  # before the clock: a user makes them, whoever sends them
        with self._timed("submit"):
            self.runner.submit(made)
        for _ in range(self.given["polls"]):
            with self._timed("poll"):
                self.runner.session.poll()
            time.sleep(0.02)
        write = "mkdir -p $n/dir; printf '%s' \"$outputs\" >$n/outputs.sh; : >$n/stdout.0; : >$n/stderr.0"
        write += "; head -c 10000 /dev/urandom >$n/dir/out.bin"
        begun = 'if [ ! -e 0 ]; then . ./element.sh; unpack_element "$PWD" 0 0; fi; outputs=$(cat 0/outputs.sh; echo)'
        self._end(made, f"{begun}; for n in $(seq 0 {count - 1}); do {write}; done")
        with self._timed("collect"):
            self.runner.collect(made)

    def file(self) -> None:
        """One large file each way."""
        job = self._job("one", {"input": self.here / "large"}, ["out.bin"])
        with self._timed("submit"):
            self.runner.submit([job])
        self._end([job], "mkdir 0/dir; : >0/stdout.0; : >0/stderr.0; cp shared/1 0/dir/out.bin")
        with self._timed("collect"):
            self.runner.collect([job])

    def files(self) -> None:
        """A folder of small files each way."""
        job = self._job("one", {"input": self.here / "many"}, ["many"])
        with self._timed("submit"):
            self.runner.submit([job])
        self._end([job], "mkdir 0/dir; : >0/stdout.0; : >0/stderr.0; cp -R shared/1 0/dir/many")
        with self._timed("collect"):
            self.runner.collect([job])

    def _job(self, name: str, inputs: dict[str, Path], outputs: list[str]) -> Job:
        return Job(
            name, JobType.SCRIPT, script_path=self.here / "job.sh", input_files=inputs, output_files=outputs,
            working_dir=self.here / "home" / name, resources=Resources(walltime="5m", native=["--hold"]),
        )  # fmt: skip

    def _end(self, jobs: list[Job], outputs: str) -> None:
        """The jobs are cancelled and their outputs made as if they had run: the queue is others' too."""
        self.runner.cancel(jobs)
        rows = self.runner.ledger.of_keys(self.runner.keys(jobs))
        program = Program("make", f'cd "$1" && {outputs}')
        reply = self.line.inner.run(program, [str(rows[0].folder)], timeout=600)
        assert reply.exit_code == 0, reply.err
        status = Status(JobState.COMPLETED, exit_code=0)
        self.runner.ledger.observe({row.key: status for row in rows}, {})
        self.line.close()

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        self.line.take()
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"what": what, "seconds": wall, "cpu": cpu, "commands": self.line.ran}), flush=True)


def main() -> None:
    """See above."""
    bench = Bench(json.loads(sys.argv[2]))
    {"jobs": bench.jobs, "file": bench.file, "files": bench.files}[sys.argv[1]]()
    bench.runner.close()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"what": "peak", "megabytes": usage.ru_maxrss / 1024, "cpu": usage.ru_utime + usage.ru_stime}))


if __name__ == "__main__":
    main()
