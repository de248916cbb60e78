"""The sh functions of Slurm with commands that answer as a test says: ids, queries of the accounting, cancelling."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scheduler.batch.base import text_of
from scheduler.batch.outcome import Accepted, Full
from scheduler.batch.slurm.system import SYSTEM
from scheduler.engine.programs import prelude

FUNCTIONS = f"{prelude()}\n{text_of('slurm', 'slurm.sh')}"


def run(commands: str, *, stdin: str = "") -> str:
    """What these sh commands print after the functions of Slurm."""
    done = subprocess.run(
        ["sh", "-c", f"{FUNCTIONS}\nmake_scratch\n{commands}"], input=stdin, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("printed", "batch_id"),
    [
        ("4711\n", "4711"),
        ("4711;two\n", "4711;two"),
        ("4711", "4711"),
        ("4711\r\n", "4711"),
        ("Welcome.\n4711\nquota 80 %\n", "4711"),
        ("Submitted batch job 4711\n", "4711"),
        ("Submitted batch job 4711 on cluster two\n", "4711"),
        ("4711\n4711\n", "4711"),
        ("Submitted batch job 4711\n4711\n", "4711"),
        ("12\n4711\n", ""),
        ("job 4711\n", ""),
        ("0\n", ""),
        ("4711 4712\n", ""),
        ("-4711\n", ""),
        ("1" * 19 + "\n", ""),
        ("", ""),
        ("Submitted batch job 4711 and 4712\n", ""),
    ],
)
def test_only_a_line_that_is_an_id_is_an_id(printed: str, batch_id: str) -> None:
    assert run("batch_id", stdin=printed).strip() == batch_id


SACCT = """
sacct() {
  echo call >>"$scratch/calls"
  while [ "$1" != -j ]; do shift; done
  case ",$2," in *,13,* | *,777,*) echo 'sacct: fatal: Bad job/step specified' >&2; return 1 ;; esac
  echo "$2" | tr , '\\n' | sed 's/$/|row/'
}
i=1; while [ "$i" -le %d ]; do printf 'n%%s\\t%%s\\t0\\n' "$i" "$i"; i=$((i + 1)); done >"$scratch/asked"
batch_history "$scratch/asked" && wc -l <"$scratch/calls"
"""


@pytest.mark.parametrize(("ids", "bad", "most"), [(1, 0, 1), (12, 0, 1), (40, 1, 14), (1200, 2, 45)])
def test_an_id_for_which_the_history_fails_hides_no_other(ids: int, bad: int, most: int) -> None:
    *rows, calls = run(SACCT % ids).split()
    unanswered = {row for row in rows if row.startswith("unanswered|")}
    assert len(unanswered) == bad and unanswered <= {"unanswered|13", "unanswered|777"}
    assert len(rows) - bad == ids - bad and int(calls) <= most


def test_a_database_that_does_not_answer_is_queried_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    words = "sacct: error: Problem talking to the database"
    fails = f'sacct() {{ echo x >>"{calls}"; echo "{words}" >&2; return 1; }}'
    asked = """printf 'a\\t1\\t0\\nb\\t2\\t0\\n' >"$scratch/asked"; ! batch_history "$scratch/asked" 2>/dev/null"""
    run(f"{fails}\n{asked}")
    assert (tmp_path / "calls").read_text() == "x\n"


CANCEL = """
squeue() { printf '10|mine\\n11|mine\\n12|other\\n13|foreign\\n'; }
scancel() { echo "$@"; }
xargs() { scancel $(cat); }
printf '%s' >"$scratch/asked"
batch_cancel "$scratch/asked"
"""


@pytest.mark.parametrize(
    ("line", "cancelled"),
    [
        ("/f\\tmine\\t10\\t0\\t\\n", "10 11"),  # the controller has the batch twice
        ("/f\\tmine\\t-\\t0\\t\\n", "10 11"),
        ("/f\\tmine\\t99\\t0\\t\\n", "10 11"),  # 99 is not the id of a batch: a site's sbatch printed it
        ("/f\\tmine\\t-\\t0\\t0,2\\n", "10_[0,2] 11_[0,2]"),
        ("/f\\tgone\\t99\\t0\\t\\n", "99"),  # the queue may hide it
        ("/f\\tgone\\t13\\t0\\t\\n", ""),  # another job has its id
        ("/f\\tgone\\t-\\t0\\t\\n", ""),
        ("/f\\t\\t-\\t0\\t\\n", ""),
        ("/f\\tgone\\tWelcome\\t0\\t\\n", ""),
    ],
)
def test_only_jobs_of_our_name_and_ids_are_cancelled(line: str, cancelled: str) -> None:
    assert run(CANCEL % line).strip() == cancelled


_LIMIT = "sbatch: error: {}\\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy\\n"


@pytest.mark.parametrize(
    ("limit", "queued", "accepted", "expected"),
    [
        ("QOSMaxSubmitJobPerUserLimit", "", 9, "never fits after 2"),
        ("AssocMaxSubmitJobLimit", "", 9, "never fits after 2"),
        ("AssocMaxSubmitJobLimit", "", 2, "7 after 2"),  # the last job had just ended
        ("QOSMaxSubmitJobPerUserLimit", "3", 9, "full after 1"),
        ("QOSGrpSubmitJobsLimit", "", 9, "full after 1"),  # other users may use it up
        ("AssocGrpSubmitJobsLimit", "", 9, "full after 1"),
    ],
)
def test_an_array_larger_than_a_limit_of_its_user_never_fits(
    limit: str, queued: str, accepted: int, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "batches/0").mkdir(parents=True)
    (tmp_path / "script").touch()
    printed = run(f"""
cd '{tmp_path}'
find_command() {{ :; }}
squeue() {{ printf '%s' '{queued}'; }}
sbatch() {{ echo >>calls; if [ "$(wc -l <calls)" -ge {accepted} ]; then echo 7; else printf '{_LIMIT.format(limit)}' >&2; return 1; fi; }}
batch_submit script 0 10 2>err; echo "code $?"; cat err; echo "calls $(($(wc -l <calls)))"
""")  # noqa: E501
    said, _, rest = printed.partition("code ")
    code, _, errors = rest.partition("\n")
    outcome = SYSTEM.read_submit(int(code), said if code == "0" else errors)
    what = (
        outcome.batch_id if isinstance(outcome, Accepted)
        else "never fits" if isinstance(outcome, Full) and outcome.never_fits
        else "full" if isinstance(outcome, Full) else str(outcome)
    )  # fmt: skip
    assert f"{what} after {printed.split()[-1]}" == expected
