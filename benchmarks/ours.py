"""Our side of the benchmark, in a process of its own, so that its CPU seconds and memory can be measured.

    python -m benchmarks.ours WHAT '{"site": …, "local": …, …}'

It prints one JSON object per line: the step, its seconds, its CPU seconds, its remote commands.
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
    """One runner, and the jobs of one benchmark."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.local = given, Path(given["local"])
        site = Site.from_mapping(given["site"], name="far")
        self.transport = Counting(transport_to(site))
        self.runner = Runner(site, ledger=Ledger(self.local / "state"), transport=self.transport)
        os.chdir(self.local)

    def jobs(self) -> None:
        """Submit N held jobs, poll them, and collect their outputs."""
        count = self.given["count"]
        jobs = [
            self._job(str(n), {"input": self.local / "in" / str(n)}, ["out.bin"]) for n in range(count)
        ]  # not measured: both sides need them
        with self._timed("submit"):
            self.runner.submit(jobs)
        for _ in range(self.given["polls"]):
            with self._timed("poll"):
                self.runner.session.poll()
            time.sleep(0.02)
        write = "mkdir -p $n/dir; printf '%s' \"$outputs\" >$n/outputs.sh; : >$n/stdout.0; : >$n/stderr.0"
        write += "; head -c 10000 /dev/urandom >$n/dir/out.bin"
        unpacked = (
            'if [ ! -e 0 ]; then . ./element.sh; unpack_element "$PWD" 0 0; fi; outputs=$(cat 0/outputs.sh; echo)'
        )
        self._end(jobs, f"{unpacked}; for n in $(seq 0 {count - 1}); do {write}; done")
        with self._timed("collect"):
            self.runner.collect(jobs)

    def file(self) -> None:
        """Upload one large file and download it."""
        job = self._job("one", {"input": self.local / "large"}, ["out.bin"])
        with self._timed("submit"):
            self.runner.submit([job])
        self._end([job], "mkdir 0/dir; : >0/stdout.0; : >0/stderr.0; cp shared/1 0/dir/out.bin")
        with self._timed("collect"):
            self.runner.collect([job])

    def files(self) -> None:
        """Upload a folder of small files and download it."""
        job = self._job("one", {"input": self.local / "many"}, ["many"])
        with self._timed("submit"):
            self.runner.submit([job])
        self._end([job], "mkdir 0/dir; : >0/stdout.0; : >0/stderr.0; cp -R shared/1 0/dir/many")
        with self._timed("collect"):
            self.runner.collect([job])

    def _job(self, name: str, inputs: dict[str, Path], outputs: list[str]) -> Job:
        return Job(
            name, JobType.SCRIPT, script_path=self.local / "job.sh", input_files=inputs, output_files=outputs,
            working_dir=self.local / "outputs" / name, resources=Resources(walltime="5m", native=["--hold"]),
        )  # fmt: skip

    def _end(self, jobs: list[Job], outputs: str) -> None:
        """Cancel the jobs and create their outputs as if they had run: the time in the queue is not measured."""
        self.runner.cancel(jobs)
        rows = self.runner.ledger.of_keys(self.runner.keys(jobs))
        program = Program("create outputs", f'cd "$1" && {outputs}')
        reply = self.transport.inner.run(program, [str(rows[0].folder)], timeout=600)
        assert reply.exit_code == 0, reply.err
        status = Status(JobState.COMPLETED, exit_code=0)
        self.runner.ledger.observe({row.key: status for row in rows}, {})
        self.transport.close()

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        """Print the measurements of one step."""
        self.transport.take()
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"what": what, "seconds": wall, "cpu": cpu, "commands": self.transport.take()}), flush=True)


def main() -> None:
    """Run one benchmark and print the totals of this process."""
    bench = Bench(json.loads(sys.argv[2]))
    {"jobs": bench.jobs, "file": bench.file, "files": bench.files}[sys.argv[1]]()
    bench.runner.close()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"what": "peak", "megabytes": usage.ru_maxrss / 1024, "cpu": usage.ru_utime + usage.ru_stime}))


if __name__ == "__main__":
    main()
