"""Which commands pbs.sh runs, and how often: with commands that have prepared answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.batch.outcome import Full
from scheduler.batch.pbs.system import SYSTEM
from tests.batch.counts import EVERY

from .replay import FakeCommands

TABLE = b"""
pbs-01:
                                                                                                   Req'd  Req'd   Elap
Job ID                         Username        Queue           Jobname         SessID   NDS  TSK   Memory Time  S Time
------------------------------ --------------- --------------- --------------- -------- ---- ----- ------ ----- - -----
5607150.polaris-pbs-01.hsn.cm* alice           prod            a.tokentokento*      --     1     1    3gb 04:00 Q   --
   Not Running: 3 | of 4 nodes are busy
5607151[].polaris-pbs-01.hsn.* alice           prod            b.tokentokento*      --     1     1    --    --  B   --
    --
5607151[7].polaris-pbs-01.hsn* alice           prod            b.tokentokento*    1234     1     1    --    --  R 00:01
   Job run at Mon Nov 23
5607151[8].polaris-pbs-01.hsn* alice           prod            b.tokentokento*    1234     1     1    --    --  X 00:01
    --
999.polaris-pbs-01.hsn.cm.pol* alice           prod            not-ours             --     1     1    --    --  R   --
"""
ASKED = (
    "0\t/f\ta.token-0\t5607150.polaris-pbs-01.hsn.cm.polaris\t0\t0\tone\n"
    "0\t/f\tb.token-1\t5607151[].polaris-pbs-01.hsn.cm.polaris\t1\t0-9\tarray\n"
)


@pytest.fixture
def pbs(tmp_path: Path) -> FakeCommands:
    """Commands with prepared answers."""
    return FakeCommands(tmp_path)


def test_one_query_of_the_queue_lists_the_users_jobs_and_truncated_columns_do_no_harm(pbs: FakeCommands) -> None:
    pbs.answers("qstat", TABLE)
    pbs.answers("qselect")
    seen = SYSTEM.read_live(pbs.run("batch_live asked", {"asked": ASKED}).stdout.decode().splitlines(), EVERY)
    assert {key: (one.raw, one.reason) for key, one in seen.items()} == {
        ("a.token-0", 0): ("Q", "Not Running: 3 | of 4 nodes are busy"),
        ("b.token-1", 7): ("R", ""),
    }
    (call,) = pbs.calls()
    assert call.startswith("qstat -u ") and call.endswith(" -w -t -s")


def test_held_tasks_are_found_in_the_table_without_tasks_as_the_other_one_has_no_row_for_an_array(
    pbs: FakeCommands,
) -> None:
    row = "{} alice prod b.tokentokento* -- 1 1 -- -- {} --\n    {}\n"
    tasks = [("5[0].h", "R", "--"), ("5[1].h", "Q", "--"), ("6[0].h", "Q", "--"), ("7[0].h", "Q", "Not Running: full")]
    arrays = [("5[].h", "H"), ("6[].h", "W"), ("7[].h", "Q")]
    pbs.answers("qstat", "".join(row.format(*one) for one in tasks).encode(), when="*-t*")
    pbs.answers("qstat", "".join(row.format(*one, "--") for one in arrays).encode(), when="*-w")
    asked = "".join(f"0\t/f\tb{n}\t{n}[].h\t0\t0-9\tarray\n" for n in (5, 6, 7))
    seen = SYSTEM.read_live(pbs.run("batch_live asked", {"asked": asked}).stdout.decode().splitlines(), EVERY)
    assert {key: (one.raw, one.reason) for key, one in seen.items()} == {
        ("b5", 0): ("R", ""), ("b5", 1): ("H", ""), ("b6", 0): ("W", ""), ("b7", 0): ("Q", "Not Running: full"),
    }  # fmt: skip
    assert [call.split()[3:] for call in pbs.calls()] == [["-w", "-t", "-s"], ["-w"]]


def test_if_the_second_table_cannot_be_had_the_queue_has_not_answered(pbs: FakeCommands) -> None:
    pbs.answers("qstat", b"5[1].h alice prod b.token* -- 1 1 -- -- Q --\n    --\n", when="*-t*")
    pbs.answers("qstat", err=b"qstat: cannot connect\n", exit_code=255, when="*-w")
    reply = pbs.run("batch_live asked", {"asked": "0\t/f\tb\t5[].h\t0\t0-9\tarray\n"})
    assert (reply.returncode, reply.stdout, reply.stderr) == (255, b"", b"qstat: cannot connect\n")


def test_a_batch_without_a_known_id_is_found_by_its_name(pbs: FakeCommands) -> None:
    pbs.answers("qstat", TABLE)
    pbs.answers("qselect", b"5607150.polaris-pbs-01\n")
    reply = pbs.run("batch_live asked", {"asked": "0\t/f\ta.token-0\t-\t0\t0\tone\n"})
    (one,) = SYSTEM.read_live(reply.stdout.decode().splitlines(), EVERY).values()
    assert one.batch_id == "5607150.polaris-pbs-01"


def test_the_history_is_queried_for_single_ids_but_only_once_for_many_tasks_of_an_array(pbs: FakeCommands) -> None:
    lines = [f"Job Id: 5[{n}].h|Job_Name=b|job_state=F|substate=93|Exit_status={n}|array_index={n}" for n in range(9)]
    pbs.answers(
        "qstat", "".join(f"{line}\n" for line in ["Job Id: 5[].h|Job_Name=b|job_state=F", *lines]).encode(), when="*-t*"
    )
    pbs.answers("qstat", b"Job Id: 6.h|Job_Name=a|job_state=F|substate=91\n", when="* 6.h")
    pbs.answers(
        "qstat", b"Job Id: 7[2].h|Job_Name=c|job_state=X|substate=93|Exit_status=5|array_index=2\n", when="* 7*"
    )
    reply = pbs.run("batch_history gone", {"gone": "b\t5[].h\t1,2,3,4,8\na\t6.h\t0\nc\t7[].h\t2\n"})
    seen = SYSTEM.read_history(reply.stdout.decode().splitlines(), {}, EVERY)
    assert reply.returncode == 0
    assert sorted(seen) == [("a", 0), ("b", 1), ("b", 2), ("b", 3), ("b", 4), ("b", 8), ("c", 2)]
    assert [call.removeprefix("qstat ") for call in pbs.calls()] == [
        "-x -t -f -F dsv 5[].h",
        "-x -f -F dsv 6.h",
        "-x -f -F dsv 7[2].h",
    ]


def test_one_poll_makes_at_most_a_hundred_queries_and_the_other_jobs_do_not_count_as_lost(pbs: FakeCommands) -> None:
    pbs.answers("qstat", err=b"qstat: Unknown Job Id\n", exit_code=153)
    reply = pbs.run("batch_history gone", {"gone": "".join(f"n\t{n}.h\t0\n" for n in range(130))})
    assert len(pbs.calls()) == 100
    assert reply.returncode == 75


def test_a_query_of_a_frozen_server_ends_after_its_time_limit(pbs: FakeCommands) -> None:
    pbs.answers("qstat")
    (pbs.folder / "bin" / "qstat").write_text("#!/bin/sh\nexec sleep 60\n")
    asked = {"asked": ASKED, "gone": "a\t6.h\t0\n"}
    (pbs.folder / "bin" / "timeout").write_text('#!/bin/sh\nshift\nexec /usr/bin/timeout 1 "$@"\n')
    (pbs.folder / "bin" / "timeout").chmod(0o755)
    for question, seconds in (("batch_live asked", 60), ("batch_history gone", 30)):
        reply = pbs.run(question, asked)
        assert (reply.returncode, reply.stderr) == (124, f"qstat did not answer in {seconds} s\n".encode())


def test_array_tasks_are_cancelled_by_ranges_and_never_as_a_whole_array(pbs: FakeCommands) -> None:
    pbs.answers("qdel")
    reply = pbs.run("batch_cancel asked", {"asked": "/f\tb\t5[].h\t0\t0-3,7\n\ta\t6.h\t0\t\n/f\tc\t8[].h\t0\t\n"})
    assert reply.returncode == 0
    assert pbs.calls() == ["qdel 5[0-3].h", "qdel 5[7].h", "qdel 6.h", "qdel 8[].h"]


def test_each_task_of_a_range_is_cancelled_by_itself_if_one_of_them_has_finished(pbs: FakeCommands) -> None:
    pbs.answers("qdel")
    pbs.answers("qdel", err=b"qdel: Request invalid for finished array subjob\n", exit_code=55, when="5[[]0-2]*")
    assert pbs.run("batch_cancel asked", {"asked": "/f\tb\t5[].h\t0\t0-2\n"}).returncode == 0
    assert pbs.calls() == ["qdel 5[0-2].h", "qdel 5[0].h", "qdel 5[1].h", "qdel 5[2].h"]


def test_a_job_that_qdel_accepted_and_that_left_the_queue_is_deleted(pbs: FakeCommands) -> None:
    """Without a history, only our record of what qdel accepted shows that. A job that qdel refused is not in it."""
    pbs.answers("qdel")
    pbs.answers("qdel", err=b"qdel: Unknown Job Id 7.h\n", exit_code=153, when="7.h")
    pbs.answers("qstat", TABLE)
    folder = f"{pbs.folder}/it's a bundle"
    asked = (
        f"0\t{folder}\ta.token-0\t5607150.polaris\t0\t0\tone\n0\t{folder}\tb.token-1\t5607151[].polaris\t1\t5-9\tarray\n"
        f"0\t{folder}\tc.token-2\t6.h\t11\t0\tone\n0\t{folder}\td.token-3\t7.h\t12\t0\tone\n"
    )
    rest = ("b.token-1\t5607151[].polaris\t1\t0-1,6-8", "c.token-2\t6.h\t11\t", "d.token-3\t7.h\t12\t")
    cancelled = "".join(f"{folder}\t{line}\n" for line in rest)
    files = {f"it's a bundle/batches/{first}/name": "" for first in (0, 1, 11, 12)}
    reply = pbs.run("batch_cancel cancelled; batch_live asked", {"cancelled": cancelled, "asked": asked, **files})
    seen = SYSTEM.read_live(reply.stdout.decode().splitlines(), EVERY)
    assert {key: str(one.state) for key, one in seen.items()} == {
        ("a.token-0", 0): "queued", ("b.token-1", 7): "running", ("b.token-1", 6): "cancelled",
        ("b.token-1", 8): "cancelled", ("c.token-2", 0): "cancelled",
    }  # fmt: skip


def test_a_job_that_cannot_be_cancelled_does_not_prevent_cancelling_the_others(pbs: FakeCommands) -> None:
    pbs.answers("qdel")
    pbs.answers("qdel", err=b"qdel: Unauthorized Request  1.h\n", exit_code=159, when="1.h")
    reply = pbs.run("batch_cancel asked", {"asked": "/f\ta\t1.h\t0\t\n/f\tb\t2.h\t0\t\n"})
    assert (reply.returncode, reply.stderr) == (159, b"qdel: Unauthorized Request  1.h\n")
    assert pbs.calls() == ["qdel 1.h", "qdel 2.h"]


def test_a_server_that_is_down_is_queried_once_and_not_for_each_job(pbs: FakeCommands) -> None:
    pbs.answers("qdel", err=b"Connection refused\n", exit_code=162)
    reply = pbs.run("batch_cancel asked", {"asked": "".join(f"/f\tn\t{n}.h\t0\t\n" for n in range(50))})
    assert reply.returncode == 162
    assert len(pbs.calls()) == 1


@pytest.mark.parametrize(("count", "log"), [(1, "log.0"), (3, "log.^array_index^")])
def test_a_script_is_submitted_with_its_folder_in_it_and_only_the_id_is_kept(
    pbs: FakeCommands, count: int, log: str
) -> None:
    pbs.answers("qsub", b"a hook says: welcome\n12.host\n")
    folder = "it's a $folder"
    script = "#!/bin/bash\n#PBS -N a\n# a comment\nbundle=${SCHEDULER_BUNDLE:-x}\n"
    reply = pbs.run(f'cd "{folder.replace("$", chr(92) + "$")}" && batch_submit script.sh 0 {count} | batch_id', {
        f"{folder}/script.sh": script, f"{folder}/batches/0/name": "a\n",
    })  # fmt: skip
    assert (reply.returncode, reply.stdout) == (0, b"12.host\n")
    where = pbs.folder / folder
    assert pbs.calls() == [f"qsub -o {where}/batches/0/{log}"]
    placed = (where / "batches/0/placed.sh").read_text().splitlines()
    assert placed[:3] == script.splitlines()[:3]
    quoted = str(where).replace("'", "'\\''")
    assert placed[3:] == [f"SCHEDULER_BUNDLE='{quoted}'", "bundle=${SCHEDULER_BUNDLE:-x}"]


def test_a_refusal_by_qsub_is_reported(pbs: FakeCommands) -> None:
    pbs.answers("qsub", err=b"qsub: Unknown queue\n", exit_code=170)
    reply = pbs.run("batch_submit script.sh 0 1", {"script.sh": "#!/bin/bash\necho\n", "batches/0/name": "a\n"})
    assert (reply.returncode, reply.stderr) == (170, b"qsub: Unknown queue\n")


@pytest.mark.parametrize(
    ("words", "queued", "never_fits"),
    [
        ("would exceed user anna's limit on resource ncpus in queue q", b"", True),
        ("would exceed user anna's limit on resource ncpus in queue q", b"7.h\n", False),
        ("would exceed queue q's per-user limit", b"", True),
        ("would exceed complex's per-user limit of jobs in 'Q' state", b"", True),
        ("Maximum number of jobs for user anna already in complex", b"", True),
        ("Maximum number of jobs for user anna already in complex", b"7.h\n", False),
        ("Maximum number of jobs in 'Q' state for user anna already in queue q", b"", True),
        ("Maximum number of jobs for group eic already in queue q", b"", False),
        ("Maximum number of jobs already in complex", b"", False),
        ("would exceed queue q's per-project limit", b"", False),
    ],
)
def test_a_batch_never_fits_a_limit_of_its_user_or_on_resources_if_the_user_has_nothing_in_the_queue(
    pbs: FakeCommands, words: str, queued: bytes, never_fits: bool
) -> None:
    pbs.answers("qsub", err=f"qsub: {words}\n".encode(), exit_code=39 if "resource" in words else 38)
    pbs.answers("qselect", queued)
    reply = pbs.run("batch_submit script.sh 0 1", {"script.sh": "#!/bin/bash\necho\n", "batches/0/name": "a\n"})
    outcome = SYSTEM.read_submit(reply.returncode, reply.stderr.decode())
    assert isinstance(outcome, Full)
    assert outcome.never_fits is never_fits
    assert outcome.words.startswith(f"qsub: {words}")
    assert sum(call.startswith("qsub ") for call in pbs.calls()) == (1 if queued else 2)
