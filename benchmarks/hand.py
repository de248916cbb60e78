"""The pipelines that an expert would write by hand, as shell commands. Each function times one."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from pathlib import Path

from .far import Far


def timed(far: Far, pipeline: str) -> float:
    """Run a pipeline and return its seconds. It may use ``$ssh``, ``$scp`` and ``$w`` (the remote folder)."""
    config = shlex.quote(str(far.config))
    head = f"set -e -o pipefail; ssh='ssh -F {config} far'; scp='scp -q -F {config}'; w={far.work}; cd {far.local}; "
    started = time.perf_counter()
    subprocess.run(["bash", "-c", head + pipeline], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def submit_arrays(far: Far, count: int) -> float:
    """Submit job arrays of 1,000 after one tar with all inputs, over one connection."""
    sizes = [min(1000, count - start) for start in range(0, count, 1000)]
    sbatch = "; ".join(f"{_SBATCH} --array=0-{size - 1} job.sh" for size in sizes)
    return timed(far, f"tar c in job.sh | $ssh 'rm -rf {far.work}/hand; mkdir {far.work}/hand; cd {far.work}/hand;"
                      f" tar x; J={far.work}; {sbatch}'; ")  # fmt: skip


def submit_each(far: Far, count: int) -> float:
    """The same with one sbatch per job."""
    loop = f"for n in $(seq {count}); do {_SBATCH} job.sh; done"
    return timed(far, f"tar c in job.sh | $ssh 'rm -rf {far.work}/hand; mkdir {far.work}/hand; cd {far.work}/hand;"
                      f" tar x; J={far.work}; {loop}'")  # fmt: skip


_SBATCH = "sbatch --parsable --hold -J $J -A eic --mem=300M -t 5 -o /dev/null"


def cancel(far: Far) -> None:
    """Cancel the jobs that were submitted by hand."""
    far.ssh(f"scancel --name={far.work}")


def poll(far: Far, times: int) -> list[float]:
    """Time one plain squeue over an open connection, several times."""
    subprocess.run(["ssh", "-F", str(far.config), "-M", "-N", "-f", "far"], check=True)
    try:
        return [timed(far, "$ssh 'squeue -h -t all -u $(id -u)'") for _ in range(times)]
    finally:
        subprocess.run(["ssh", "-F", str(far.config), "-O", "exit", "far"], check=True, capture_output=True)


def make_outputs(far: Far, count: int) -> None:
    """Create the outputs of the jobs."""
    far.ssh(f"mkdir -p {far.work}/hand/out; cd {far.work}/hand/out;"
            f" for n in $(seq {count}); do mkdir -p $n; head -c 10000 /dev/urandom >$n/out.bin; done")  # fmt: skip


def collect(far: Far) -> float:
    """Download all outputs in one tar, with their hashes, and verify them locally."""
    (far.local / "back").mkdir(exist_ok=True)
    remote = "find . -name out.bin -print0 | xargs -0 sha256sum >sums; tar c ."
    return timed(far, f"cd back; $ssh 'cd {far.work}/hand/out; {remote}' | tar x; sha256sum --quiet -c sums")


def file_up(far: Far) -> float:
    """Upload one file by scp."""
    return timed(far, "$scp large far:$w/large")


def file_down(far: Far) -> float:
    """Download one file by scp."""
    return timed(far, "$scp far:$w/large back-large")


def files_up(far: Far) -> float:
    """Upload a folder by tar."""
    return timed(far, f"tar c many | $ssh 'rm -rf {far.work}/many; cd {far.work}; tar x'")


def files_down(far: Far) -> float:
    """Download a folder by tar."""
    (far.local / "back-many").mkdir(exist_ok=True)
    return timed(far, f"$ssh 'cd {far.work}; tar c many' | tar x -C back-many")


def rsync(far: Far, what: str) -> dict[str, list[float]]:
    """Upload and download a file or a folder by rsync; empty if rsync is not installed on both sides."""
    has_rsync = "command -v rsync >/dev/null && echo yes || :"
    if shutil.which("rsync") is None or not far.ssh(has_rsync):
        return {}
    command = f"rsync -r -e {shlex.quote(f'ssh -F {shlex.quote(str(far.config))}')}"
    download = f"{command} far:$w/rsync/{what} back-rsync/"
    return {"upload": [timed(far, f"{command} {what} far:$w/rsync/")], "download": [timed(far, download)]}


def fill(folder: Path, count: int, size: int) -> None:
    """Create `count` files of `size` random bytes each."""
    folder.mkdir(parents=True, exist_ok=True)
    with Path("/dev/urandom").open("rb") as noise:
        for number in range(count):
            (folder / str(number)).write_bytes(noise.read(size))
