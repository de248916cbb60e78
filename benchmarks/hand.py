"""The pipelines that an expert would write by hand, as commands of a shell. Each prepares, then times one pipeline."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from pathlib import Path

from .far import Far


def timed(far: Far, pipeline: str) -> float:
    """Seconds that a pipeline takes; ``$ssh``, ``$scp`` and ``$w`` (the folder over there) are set."""
    config = shlex.quote(str(far.config))
    head = f"set -e -o pipefail; ssh='ssh -F {config} far'; scp='scp -q -F {config}'; w={far.work}; cd {far.here}; "
    started = time.perf_counter()
    subprocess.run(["bash", "-c", head + pipeline], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def submit_arrays(far: Far, count: int) -> float:
    """All inputs in one tar, then job arrays of 1,000, in one connection."""
    sizes = [min(1000, count - start) for start in range(0, count, 1000)]
    sbatch = "; ".join(f"{_SBATCH} --array=0-{size - 1} job.sh" for size in sizes)
    return timed(far, f"tar c in job.sh | $ssh 'rm -rf {far.work}/hand; mkdir {far.work}/hand; cd {far.work}/hand;"
                      f" tar x; J={far.work}; {sbatch}'; ")  # fmt: skip


def submit_each(far: Far, count: int) -> float:
    """The same with one sbatch a job."""
    loop = f"for n in $(seq {count}); do {_SBATCH} job.sh; done"
    return timed(far, f"tar c in job.sh | $ssh 'rm -rf {far.work}/hand; mkdir {far.work}/hand; cd {far.work}/hand;"
                      f" tar x; J={far.work}; {loop}'")  # fmt: skip


_SBATCH = "sbatch --parsable --hold -J $J -A eic --mem=300M -t 5 -o /dev/null"


def cancel(far: Far) -> None:
    """End what was submitted by hand."""
    far.ssh(f"scancel --name={far.work}")


def poll(far: Far, times: int) -> list[float]:
    """One bare squeue over a connection that is open."""
    subprocess.run(["ssh", "-F", str(far.config), "-M", "-N", "-f", "far"], check=True)
    try:
        return [timed(far, "$ssh 'squeue -h -t all -u $(id -u)'") for _ in range(times)]
    finally:
        subprocess.run(["ssh", "-F", str(far.config), "-O", "exit", "far"], check=True, capture_output=True)


def make_outputs(far: Far, count: int) -> None:
    """As the jobs would have left them."""
    far.ssh(f"mkdir -p {far.work}/hand/out; cd {far.work}/hand/out;"
            f" for n in $(seq {count}); do mkdir -p $n; head -c 10000 /dev/urandom >$n/out.bin; done")  # fmt: skip


def collect(far: Far) -> float:
    """All outputs in one tar, with their hashes, compared here."""
    (far.here / "back").mkdir(exist_ok=True)
    there = "find . -name out.bin -print0 | xargs -0 sha256sum >sums; tar c ."
    return timed(far, f"cd back; $ssh 'cd {far.work}/hand/out; {there}' | tar x; sha256sum --quiet -c sums")


def file_up(far: Far) -> float:
    """One file by scp."""
    return timed(far, "$scp large far:$w/large")


def file_down(far: Far) -> float:
    """And back."""
    return timed(far, "$scp far:$w/large back-large")


def files_up(far: Far) -> float:
    """A folder by tar."""
    return timed(far, f"tar c many | $ssh 'rm -rf {far.work}/many; cd {far.work}; tar x'")


def files_down(far: Far) -> float:
    """And back."""
    (far.here / "back-many").mkdir(exist_ok=True)
    return timed(far, f"$ssh 'cd {far.work}; tar c many' | tar x -C back-many")


def rsync(far: Far, what: str) -> dict[str, list[float]]:
    """A file or a folder out and home by rsync; nothing where one side has none."""
    has_rsync = "command -v rsync >/dev/null && echo yes || :"
    if shutil.which("rsync") is None or not far.ssh(has_rsync):
        return {}
    way = f"rsync -r -e {shlex.quote(f'ssh -F {shlex.quote(str(far.config))}')}"
    home = f"{way} far:$w/rsync/{what} back-rsync/"
    return {"out": [timed(far, f"{way} {what} far:$w/rsync/")], "home": [timed(far, home)]}


def fill(folder: Path, count: int, size: int) -> None:
    """So many files of random bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with Path("/dev/urandom").open("rb") as noise:
        for number in range(count):
            (folder / str(number)).write_bytes(noise.read(size))
