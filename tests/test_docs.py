"""The documentation is tested: its examples run as a reader would run them, and its tables agree with the code.

A fenced block with a title is a file of that name. In a `console` block each line after ``$`` is a command, and the
lines below are its output: digits match any digits, ``…`` any text, a line ``…`` any lines. The Python blocks of
a page without a title form one script. A block that cannot be run here has ``<!-- not run: why -->`` above it.
"""

from __future__ import annotations

import ast
import functools
import inspect
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from scheduler import Cause, Job, JobState, JobType, Resources, Retry, errors
from scheduler.campaign.jobfile import read_job_file
from scheduler.campaign.keys import FileKeys, JobKeys
from scheduler.cli.app import app
from scheduler.engine.poll import settle
from scheduler.render.bundle import render
from scheduler.render.template import context_of
from scheduler.schema.model import Checked
from scheduler.site.catalog import find_site
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs/pages"
ALL = [*sorted(PAGES.glob("*.md")), ROOT / "README.md"]
RUN = [
    *(
        "README.md",
        "quickstart.md",
        "tutorial.md",
        "day-two.md",
        "jobs.md",
        "job-files.md",
        "command-line.md",
        "retry.md",
    ),
]
MOST_NOT_RUN = 5

_FENCE = re.compile(r"( *)```(\w+)?(?: title=\"(.+)\")?\Z")
_NOT_RUN = re.compile(r"<!-- not run: .+ -->")
_PROGRESS_LINE = re.compile(r".+: \d+ of \d+ done: ")
_VARYING = [
    (re.compile(r"\b[a-z2-9]{10}-\d+(?:_\d+)?(?=[ \n\"])"), "BATCH"),
    (re.compile(r"\.[a-z2-9]{10}-\d+\b"), ".BATCH"),
    (re.compile(r"-[0-9a-f]{6}\b"), "-PLACE"),
    (re.compile(r"\b\d+ (?:s|min|h)\b"), "0 s"),
    (re.compile(r"\d+"), "0"),
    (re.compile(r"[ \t]+"), " "),
]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    title: str
    text: str
    not_run: bool

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@functools.cache
def blocks(page: Path) -> tuple[Block, ...]:
    """Every fenced block of a page."""
    lines, found, at = page.read_text(encoding="utf-8").splitlines(), [], 0
    while at < len(lines):
        opening = _FENCE.match(lines[at])
        if opening:
            indent = opening[1]
            end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == "```")
            text = "".join(f"{line.removeprefix(indent)}\n" for line in lines[at + 1 : end])
            not_run = at > 0 and _NOT_RUN.match(lines[at - 1].strip()) is not None
            found.append(Block(page, at + 1, opening[2] or "", opening[3] or "", text, not_run))
            at = end
        at += 1
    return tuple(found)


@dataclass(frozen=True)
class Reader:
    """A reader who runs the examples of a page, in an empty folder and with a home folder of their own."""

    home: Path

    @property
    def folder(self) -> Path:
        return self.home / "toy"

    def write(self, block: Block) -> Path:
        path = self.folder / block.title.replace("~", str(self.home))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return path

    def run(self, *command: str) -> str:
        """Run a command, which must exit with 0, and return its output."""
        changed = {
            "HOME": str(self.home),
            "SCHEDULER_STATE_DIR": str(self.home / "state"),
            "TZ": "UTC",
            "COLUMNS": "120",
        }
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SCHEDULER_", "XDG_", "SLURM_"))}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            command, cwd=self.folder, env={**kept, **changed, "PATH": path}, stdin=subprocess.DEVNULL, timeout=600,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
        output = done.stdout.replace(str(self.folder), "/home/anna/toy")
        return re.sub(rf"\b{re.escape(platform.node())}\b", "laptop", output)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    (tmp_path / "anna/toy").mkdir(parents=True)
    return Reader(tmp_path / "anna")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_the_examples_of_a_page_run_and_print_what_it_shows(name: str, reader: Reader) -> None:
    script = ""
    [page] = [page for page in ALL if page.name == name]
    for block in blocks(page):
        if block.not_run:
            continue
        if block.title:
            reader.write(block)
        elif block.language == "console":
            for command, printed in commands(block):
                compare(reader.run("bash", "-c", command), printed, where=f"{block}: {command}")
        elif block.language == "python":
            script += "\n" * (block.line - script.count("\n")) + block.text  # so that tracebacks name the page's lines
    if script:
        (reader.folder / "page.py").write_text(script, encoding="utf-8")
        reader.run(sys.executable, "page.py")


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a block, and its output as the page shows it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def compare(output: str, shown: str, *, where: str) -> None:
    """Assert that the output matches what the page shows."""
    without_progress = "".join(line for line in output.splitlines(True) if not _PROGRESS_LINE.match(line))
    pattern = ""
    for line in _plain(shown).splitlines():
        text = line.strip()
        pattern += r"(?:.*\n)*?" if text == "…" else re.escape(text).replace("…", ".*") + r" *\n"
    printed = "".join(f"{line.strip()}\n" for line in _plain(without_progress).splitlines())
    assert not shown or re.fullmatch(pattern, printed), f"{where} prints:\n{output}\nand the page shows:\n{shown}"


def _plain(text: str) -> str:
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_every_block_is_run_or_gives_the_reason_why_not(page: Path) -> None:
    """Shell commands are `console`; scripts, settings and templates are files; `text` is not run at all."""
    for block in blocks(page):
        assert block.language in ("console", "python", "sh", "yaml", "jinja", "text"), str(block)
        assert block.title or block.language in ("console", "python", "text"), f"{block}: has no title"
        runs = page.name in RUN or block.not_run
        assert block.title or block.language == "text" or runs, f"{block}: is not run, and does not state why"


def test_few_blocks_are_not_run() -> None:
    assert len([block for page in ALL for block in blocks(page) if block.not_run]) <= MOST_NOT_RUN


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_job_files_and_site_files_are_valid(page: Path, reader: Reader) -> None:
    written = [reader.write(block) for block in blocks(page) if block.title]
    for path in [path for path in written if path.suffix == ".yaml"]:
        if path.parent.name in ("sites", "site_configs"):
            assert find_site(path.stem, folders=[path.parent, packaged_folder("site_configs")]).path == path
        else:
            assert read_job_file(path).jobs()


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_python_blocks_compile(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, str(block), "exec")


@pytest.mark.parametrize("count", [1, 2], ids=["one job", "an array"])
def test_the_template_of_the_page_renders_scripts_that_bash_can_parse(count: int, reader: Reader) -> None:
    [template] = [reader.write(block) for block in blocks(PAGES / "templates.md") if block.language == "jinja"]
    reader.write(Block(PAGES, 0, "sh", "it's.sh", "true\n", not_run=False))
    jobs = [
        Job(f"it's {n}", JobType.SCRIPT, script_path=reader.folder / "it's.sh", template=template) for n in range(count)
    ]
    bundle = render(jobs, find_site("jlab", folders=[packaged_folder("site_configs")]))
    for script in {*(one.script for one in bundle.batches), *(f"{element}/script.sh" for element, _ in bundle.jobs)}:
        content = bundle.files[script]
        assert isinstance(content, bytes)
        subprocess.run(["bash", "-n"], input=content, check=True)
        assert (b'. "$bundle/harness.sh"' in content) is (b"an array" not in content)


# Tables


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its header."""
    text = (PAGES / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"{page} has no heading {heading!r}"
    under = re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    table = [line.strip("|").split(" | ") for line in under.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


def keys(page: str, heading: str) -> list[str]:
    """The names in backticks of the first column; a row may have several."""
    return [word for row in rows(page, heading) for word in re.findall(r"`([^`]+)`", row[0])]


def test_the_table_of_states_agrees_with_the_code() -> None:
    table = [(row[0], row[1]) for row in rows("states.md", "## States")]
    assert table == [(f"`{state.word}`", state.sentence) for state in JobState]


def test_the_table_of_causes_agrees_with_the_code() -> None:
    table = [(row[0], row[1]) for row in rows("states.md", "## Causes")]
    assert table == [(f"`{cause.word}`", cause.sentence) for cause in Cause if cause is not Cause.NONE]


def test_the_messages_of_logins_exist_in_the_code() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "scheduler/transports").rglob("*.py"))
    assert [message for message in keys("logins.md", "## Host keys") if message not in code] == []


def strings_of_the_code() -> Iterator[str]:
    """Every string of the package, a NUL for each value inside it; shell programs in full."""
    for path in (ROOT / "scheduler").rglob("*.sh"):
        yield path.read_text(encoding="utf-8")
    for path in (ROOT / "scheduler").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_the_messages_of_the_troubleshooting_page_exist_in_the_code() -> None:
    text = (PAGES / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^### `(.+)`$", text, re.MULTILINE)
    assert len(messages) > 50
    code = list(strings_of_the_code())
    assert [one for one in messages if not any(has_in_order(text, one.split("…")) for text in code)] == []


def has_in_order(text: str, parts: list[str]) -> bool:
    """Whether the text has these parts, one after the other. (A regular expression for it took minutes.)"""
    at = 0
    for part in map(str.strip, parts):
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def test_the_waiting_times_agree_with_the_code() -> None:
    text = (PAGES / "states.md").read_text(encoding="utf-8")
    minutes = settle.SILENT_SECONDS / 60
    assert f"{settle.SILENT_POLLS} answered polls in a row, over at least {minutes:g} minutes" in text


def test_the_tree_of_errors_agrees_with_the_code() -> None:
    tree = re.search(r"^SchedulerError\n(?:[├│└].*\n)+", errors.__doc__ or "", re.MULTILINE)
    assert tree and tree[0] in (PAGES / "errors.md").read_text(encoding="utf-8")


def leaves(model: type[Checked]) -> Iterator[str]:
    """Every key of a file; a nested key with the name of its mapping, such as ``ssh.user``."""
    for name, field in model.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, Checked) and part is not Resources:
            yield from (f"{name}.{inner}" for inner in leaves(part))
        else:
            yield name


def test_every_key_of_a_site_file_is_explained() -> None:
    assert sorted(keys("sites.md", "## Every key")) == sorted(leaves(Site))


def test_every_key_of_a_job_file_is_explained() -> None:
    assert sorted(keys("job-files.md", "## Keys of the file")) == sorted(FileKeys.model_fields)
    assert sorted(keys("job-files.md", "## Keys of `job`")) == sorted(JobKeys.model_fields)
    assert sorted(keys("job-files.md", "## Keys of `resources`")) == sorted(Resources.model_fields)
    assert sorted(keys("job-files.md", "## Keys of `retry`")) == sorted(Retry.model_fields)


def test_every_block_and_variable_of_the_templates_is_explained() -> None:
    base = (packaged_folder("templates") / "base.sh.j2").read_text()
    assert keys("templates.md", "## Blocks") == re.findall(r"{% block (\w+) %}", base)
    context = set(re.findall(r'^        "(\w+)": ', inspect.getsource(context_of), re.MULTILINE))
    assert set(keys("templates.md", "## Variables")) == context


def test_every_command_and_option_is_explained() -> None:
    text = (PAGES / "command-line.md").read_text(encoding="utf-8")
    for name, command in group(typer.main.get_command(app)).items():
        assert f"\n## {name}\n" in text, f"command-line.md has no heading ## {name}"
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        options = [option for part in command.params for option in part.opts if option.startswith("--")]
        assert [option for option in options if option not in section and option != "--help"] == [], name


def group(command: Any) -> Mapping[str, Any]:
    """The subcommands of a command."""
    return dict(command.commands)


# Paths in the text


PATH = re.compile(r"`((?:scheduler|templates|site_configs|tests|docs|benchmarks)/[A-Za-z0-9_./-]+)`")
NEW = {"scheduler/batch/htcondor/", "templates/htcondor.sh.j2"}
"""Paths that the text tells the reader to create."""
LONGEST_TOUR = 950
"""Lines."""


@pytest.mark.parametrize("page", [*ALL, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    named = [path for path in PATH.findall(page.read_text(encoding="utf-8")) if "NAME" not in path]
    assert [path for path in named if path not in NEW and not (ROOT / path).exists()] == []


def test_the_pieces_of_the_tour_can_be_read_in_half_an_hour() -> None:
    pieces = [PATH.findall(row[1]) for row in rows("tour.md", "## Five pieces")]
    files = [ROOT / path for paths in pieces for path in paths]
    assert len(pieces) == 5 and all(pieces)
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) <= LONGEST_TOUR


def test_the_contributors_table_names_a_file_for_each_of_twelve_changes() -> None:
    table = rows("../../CONTRIBUTING.md", "## Where to change what")
    assert len(table) == 12
    assert [row[0] for row in table if not PATH.search(row[1])] == []
