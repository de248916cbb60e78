"""Output patterns of a Job: braces are expanded, and what only a shell would expand is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler import Job, JobError, JobType


def patterns_of(tmp_path: Path, *patterns: str) -> list[str]:
    """The output files of a job that declares these."""
    script = tmp_path / "x.sh"
    script.touch()
    return Job("b0", JobType.SCRIPT, script_path=script, output_files=patterns).output_files


BRACES = [
    ("{a,b}.root", ["a.root", "b.root"]),
    ("x{a,b{c,d}}y", ["xay", "xbcy", "xbdy"]),
    ("a{,.gz}", ["a", "a.gz"]),
    ("{1..3}", ["1", "2", "3"]),
    ("{01..10..3}", ["01", "04", "07", "10"]),
    ("{c..a}{1,2}", ["c1", "c2", "b1", "b2", "a1", "a2"]),
    ("[{]a,b[}]", ["[{]a,b[}]"]),
    ("./plots//{x,y}/", ["plots/x", "plots/y"]),
    ("a,b", ["a,b"]),
]


@pytest.mark.parametrize(("pattern", "expected"), BRACES)
def test_braces_are_expanded_as_bash_does(pattern: str, expected: list[str], tmp_path: Path) -> None:
    assert patterns_of(tmp_path, pattern) == expected


REFUSED = [
    ("$HOME/a.root", "variables are not expanded"),
    ("${X}.root", "variables are not expanded"),
    ("$(date).root", "variables are not expanded"),
    ("`date`.root", "commands are not run"),
    ('"*.root"', "leave out the quotes"),
    ("'a b.root'", "leave out the quotes"),
    ("a\\ b.root", "a backslash quotes nothing"),
    ("[\\]]", "a backslash quotes nothing"),
    ("~/a.root", "'~' is not expanded"),
    ("/tmp/a.root", "leads out"),
    ("{/tmp,x}/a", "leads out"),
    ("{..,x}/a", "leads out"),
    ("{a}.root", "has no comma"),
    ("{a.root", "'{' without '}'"),
    ("a}.root", "'}' without '{'"),
    ("{1..99999}", "more than 10000 patterns"),
    ("{1..999}" * 4, "more than 10000 patterns"),
    ("{" * 3000, "nested more than"),
    ("a" * 5000, "longer than"),
    (".git/config", "nothing is downloaded into a folder .git"),
    ("a/.GIT/x", "nothing is downloaded into a folder .git"),
    ("job.stdout", "the job's own standard output"),
    ("./job.stderr", "the job's own standard error"),
]


@pytest.mark.parametrize(("pattern", "words"), REFUSED, ids=[pattern[:20] for pattern, _ in REFUSED])
def test_a_pattern_that_cannot_mean_what_it_says_is_refused_with_the_reason(
    pattern: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(JobError, match="output_files") as refused:
        patterns_of(tmp_path, pattern)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 500
