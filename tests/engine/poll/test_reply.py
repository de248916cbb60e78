"""What is kept of a poll's reply is bounded by the request: batches, elements, numbers, lengths, and the whole."""

from __future__ import annotations

import tracemalloc

import pytest

from scheduler import TransportError
from scheduler.batch.base import REST, find
from scheduler.batch.outcome import Accepted, Full, Refused, Unknown
from scheduler.engine.poll.reply import PollReader, PollReply, read_end
from scheduler.engine.submit.reply import read_submit_reply
from scheduler.job.evidence import End, Observation
from scheduler.job.remote_text import MESSAGE_CHARACTERS, WORD_CHARACTERS, cut
from scheduler.job.state import JobState
from scheduler.ledger.rows import PolledBatch
from scheduler.transports.base import Reply

ARRAY = PolledBatch("tok", 10, 5, "a.tok-10", "7", 0, "/w/tok", "", "10,11,12,13,14", "1,2,3,4,5")
PACK = PolledBatch("tok", 20, 8, "p.tok-20", None, 1, "/w/tok", "", "20,21", "6,7")
ONE = PolledBatch("kot", 0, 1, "o.kot-0", "9", 0, "/w/kot", "", "0", "8")
ASKED = [ARRAY, PACK, ONE]
LONG = "x" * 2_000_000
END = "0 exit=0 signal= started=1700000000 ended=1700000001 host=n id=7 missing= cannot="


def read(*lines: str, code: int = 0) -> PollReply:
    return PollReader(ASKED).read(Reply("poll", code, "".join(f"{line}\n" for line in lines).encode(), b""))


def test_the_counts_are_those_of_the_batch_system() -> None:
    assert PollReader(ASKED).counts == {"a.tok-10": 5, "p.tok-20": 1, "o.kot-0": 1}


def test_only_elements_of_the_batches_of_the_request_are_kept() -> None:
    elements = [0, 9, 10, 14, 15, 19, 20, 27, 28, 999999999]
    found = read(*(f"{tag} 0 {n} {END}" for tag in "egb" for n in elements), *(f"i 0 {n} 123" for n in elements))
    mine = {("tok", n) for n in (10, 14, 20, 27)}
    assert set(found.ends) == set(found.logs) == found.started == mine
    assert set(found.ids) == {("tok", 10), ("tok", 20)}
    assert set(read(f"e 1 0 {END}", f"e 1 1 {END}", f"e 2 0 {END}", f"e -1 0 {END}").ends) == {("kot", 0)}
    assert read("missing 1", "missing 2", "missing 99999999999999").missing == {"kot"}


def test_the_lines_of_a_batch_are_limited_in_number_and_length() -> None:
    found = read(
        *["l a.tok-10|0|7|RUNNING|n|1|None"] * 5000, *[f"g 0 10 {LONG[:5000]}"] * 500, "l other.x-0|0|1|R|n|1|x"
    )
    assert set(found.live) == {"a.tok-10"} and len(found.live["a.tok-10"]) < 100
    assert len(found.logs["tok", 10]) == 4 and max(map(len, found.logs["tok", 10])) <= WORD_CHARACTERS
    (line,) = read(f"l a.tok-10|0|7|PENDING||0|{LONG}").live["a.tok-10"]
    assert len(line) < 20_000
    ((_, seen),) = find("slurm").read_live([line], PollReader(ASKED).counts).items()
    assert seen.state is JobState.QUEUED and len(seen.reason) <= WORD_CHARACTERS


def test_a_reply_larger_than_the_request_explains_is_refused_while_it_arrives() -> None:
    reader, piece = PollReader(ASKED), b"h \n" * 100_000
    tracemalloc.start()
    with pytest.raises(TransportError, match="larger than 8 MiB"):
        for _ in range(1 << 20):
            reader.feed(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 << 20


def test_pieces_of_any_size_give_the_same_lines() -> None:
    text = f"clock 1700000000\nlive 0 \nl o.kot-0|N/A|9|RUNNING|é|1|None\ne 1 0 {END}\ng 1 0 last".encode()
    whole = PollReader(ASKED).read(Reply("poll", 0, text, b""))
    for size in (1, 2, 7):
        reader = PollReader(ASKED)
        for start in range(0, len(text), size):
            reader.feed(text[start : start + size])
        assert reader.read(Reply("poll", 0, b"", b"")) == whole
    assert whole.live_answered and whole.clock is not None and whole.logs["kot", 0] == ["last"]


@pytest.mark.parametrize("number", ["256", "999999999", "-1", "1e2", "٣", ""])
def test_an_exit_code_that_no_process_has_is_no_end_file(number: str) -> None:
    assert read_end(END.replace("exit=0", f"exit={number}")) is None
    assert read_end(END.replace("exit=0", "exit=255")) is not None


@pytest.mark.parametrize("time", ["99999999999", "9" * 5000, "-5", "x"])
def test_a_time_that_no_calendar_shows_is_not_known(time: str) -> None:
    end = read_end(END.replace("ended=1700000001", f"ended={time}"))
    assert end is not None and end.ended is None
    assert read(f"clock {time}").clock is None


def test_the_indices_of_a_batch_are_below_its_count() -> None:
    slurm, pbs, shell = find("slurm"), find("pbs"), find("shell")
    counts = {"a": 3, "o": 1}
    rows = [f"{name}|{index}|7|PENDING||0|Priority" for name in "abo" for index in ("[0-4000000]", "7", "N/A", "rest")]
    assert set(slurm.read_live(rows, counts)) == {
        *(("a", n) for n in (0, 1, 2, REST)), ("o", 0), ("o", REST)
    }  # fmt: skip
    accounted = [f"7_{index}|a|FAILED|1:0|n|1700000000|1700000001||4G" for index in ("[0-4000000]", "5")]
    assert set(slurm.read_history(accounted, {"7": "a"}, counts)) == {("a", 0), ("a", 1), ("a", 2)}
    assert set(pbs.read_live(["a|2|7[].h|R|", "a|3|7[].h|R|", "a|999999999|7[].h|R|", "b|0|7.h|R|"], counts)) == {
        ("a", 2)
    }
    assert set(pbs.read_history([f"a|Job Id: 7[{n}].h|job_state=F" for n in (2, 3)], {}, counts)) == {("a", 2)}
    assert set(shell.read_live(["a|2|RUNNING|n", "a|3|RUNNING|n", "b|0|RUNNING|n"], counts)) == {("a", 2)}


def test_peaks_and_rows_of_the_accounting_are_limited_by_the_request() -> None:
    lines = [f"{n}.batch|batch|FAILED|1:0|n|1|2|3G|1G" for n in range(200_000)]
    lines += [f"{n}|a|FAILED|1:0|n|1|2||1G" for n in range(200_000)]
    tracemalloc.start()
    assert set(find("slurm").read_history(iter(lines), {}, {"a": 1})) == {("a", 0)}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("code", ["256", "999999999:0", "1:999999999", ":999999999", "99999999999999999999:1"])
def test_exit_codes_of_the_accounting_are_those_of_processes(code: str) -> None:
    row = f"7|a|FAILED|{code}|n|1|2||1G"
    (seen,) = find("slurm").read_history([row], {"7": "a"}, {"a": 1}).values()
    assert seen.exit_code is None or 0 <= seen.exit_code <= 255
    (seen,) = find("pbs").read_history([f"a|Job Id: 7.h|job_state=F|Exit_status={code}"], {}, {"a": 1}).values()
    assert seen.exit_code is None or 0 <= seen.exit_code <= 255


def test_text_of_a_cluster_is_cut_when_it_becomes_a_value() -> None:
    seen = Observation(LONG, None, reason=LONG, node=LONG, batch_id=LONG)
    end = End(0, 1, signal=LONG, node=LONG, cannot=LONG, missing=LONG)
    texts = [seen.raw, seen.reason, seen.node, end.signal, end.node, end.cannot, end.missing]
    assert {len(text) for text in texts} == {WORD_CHARACTERS} and seen.batch_id == ""
    assert {len(one(LONG, 1).words) for one in (Refused, Full, Unknown)} == {MESSAGE_CHARACTERS}
    assert cut("a" * 200 + "the cause", 100).endswith("the cause")
    assert len(Reply("poll", 1, LONG.encode(), LONG.encode()).err) <= 4010
    assert len(Reply("poll", 1, LONG.encode(), b"").message()) <= 4010


@pytest.mark.parametrize("system", ["slurm", "pbs", "shell"])
def test_an_id_that_is_too_long_is_no_id(system: str) -> None:
    ids = {"slurm": f"7;{LONG}", "pbs": f"7.{LONG}", "shell": LONG}
    found = read_submit_reply(Reply("submit", 0, f"0\t0\t{ids[system]}\n".encode(), b""), find(system), {0})
    assert not isinstance(found.outcomes[0], Accepted)
    assert read(f"i 0 10 {LONG}").ids == {}


def test_outcomes_of_batches_that_were_not_sent_are_skipped() -> None:
    text = "".join(f"{first}\t0\t7\n" for first in range(5000))
    found = read_submit_reply(Reply("submit", 0, text.encode(), b""), find("slurm"), {3, 40})
    assert set(found.outcomes) == {3, 40}
