"""What the documentation says is tried: its examples run as a reader would run them, its tables name what there is.

A fenced block with a title is a file, written where it says. In a `console` block each line after ``$`` is a command,
and what follows is what it prints: digits stand for any digits, ``…`` for anything, a line ``…`` for any lines. The
Python blocks of a page that have no title are one script. What cannot be run here has ``<!-- not run: why -->`` above.
"""

from __future__ import annotations

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
RUN = ["README.md", "quickstart.md", "jobs.md", "job-files.md", "command-line.md", "retry.md"]
MOST_NOT_RUN = 5

_FENCE = re.compile(r"( *)```(\w+)?(?: title=\"(.+)\")?\Z")
_NOT_RUN = re.compile(r"<!-- not run: .+ -->")
_TALK_OF_NO_TERMINAL = re.compile(r".+: \d+ of \d+ done: ")
_PLACES = [
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
    """Somebody who does what a page says, in an empty folder of an own account."""

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
        """All that a command prints. It must end well."""
        own = {"HOME": str(self.home), "SCHEDULER_STATE_DIR": str(self.home / "state"), "TZ": "UTC", "COLUMNS": "120"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SCHEDULER_", "XDG_", "SLURM_"))}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            command, cwd=self.folder, env={**kept, **own, "PATH": path}, stdin=subprocess.DEVNULL, timeout=600,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
        said = done.stdout.replace(str(self.folder), "/home/anna/toy")
        return re.sub(rf"\b{re.escape(platform.node())}\b", "laptop", said)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    (tmp_path / "anna/toy").mkdir(parents=True)
    return Reader(tmp_path / "anna")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_what_a_page_says_can_be_done(name: str, reader: Reader) -> None:
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
    """Each command of a block, and what it prints."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def compare(said: str, shown: str, *, where: str) -> None:
    """Is `shown` what was said, as far as it goes?"""
    heard = "".join(line for line in said.splitlines(True) if not _TALK_OF_NO_TERMINAL.match(line))
    pattern = ""
    for line in _plain(shown).splitlines():
        words = line.strip()
        pattern += r"(?:.*\n)*?" if words == "…" else re.escape(words).replace("…", ".*") + r" *\n"
    text = "".join(f"{line.strip()}\n" for line in _plain(heard).splitlines())
    assert not shown or re.fullmatch(pattern, text), f"{where} prints:\n{said}\nand the page says:\n{shown}"


def _plain(text: str) -> str:
    for place, word in _PLACES:
        text = place.sub(word, text)
    return text


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_every_block_is_dealt_with(page: Path) -> None:
    """Shell commands are `console`; scripts, settings, templates are files; the rest is `text` and claims nothing."""
    for block in blocks(page):
        assert block.language in ("console", "python", "sh", "yaml", "jinja", "text"), str(block)
        assert block.title or block.language in ("console", "python", "text"), f"{block}: has no title"
        runs = page.name in RUN or block.not_run
        assert block.title or block.language == "text" or runs, f"{block}: is not run, and does not say why"


def test_little_is_not_run() -> None:
    assert len([block for page in ALL for block in blocks(page) if block.not_run]) <= MOST_NOT_RUN


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_job_files_and_site_files_are_good(page: Path, reader: Reader) -> None:
    written = [reader.write(block) for block in blocks(page) if block.title]
    for path in [path for path in written if path.suffix == ".yaml"]:
        if path.parent.name in ("sites", "site_configs"):
            assert find_site(path.stem, folders=[path.parent, packaged_folder("site_configs")]).path == path
        else:
            assert read_job_file(path).jobs()


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_python_that_is_not_run_is_python_at_least(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, str(block), "exec")


@pytest.mark.parametrize("count", [1, 2], ids=["one job", "an array"])
def test_templates_make_scripts_that_a_shell_can_read(count: int, reader: Reader) -> None:
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
    """The cells of the first table under a heading, without its head."""
    text = (PAGES / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"{page} has no heading {heading!r}"
    under = re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    table = [line.strip("|").split(" | ") for line in under.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


def keys(page: str, heading: str) -> list[str]:
    """The first column, without backticks; a row may name several."""
    return [word for row in rows(page, heading) for word in re.findall(r"`([^`]+)`", row[0])]


def test_the_table_of_states_is_that_of_the_code() -> None:
    table = [(row[0], row[1]) for row in rows("states.md", "## States")]
    assert table == [(f"`{state.word}`", state.sentence) for state in JobState]


def test_the_table_of_causes_is_that_of_the_code() -> None:
    table = [(row[0], row[1]) for row in rows("states.md", "## Causes")]
    assert table == [(f"`{cause.word}`", cause.sentence) for cause in Cause if cause is not Cause.NONE]


def test_the_words_of_ssh_errors_are_those_of_the_code() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "scheduler/transports").rglob("*.py"))
    assert [words for words in keys("logins.md", "## Host keys") if words not in code] == []


def test_the_waiting_times_are_those_of_the_code() -> None:
    text = (PAGES / "states.md").read_text(encoding="utf-8")
    minutes = settle.SILENT_SECONDS / 60
    assert f"{settle.SILENT_POLLS} answers in a row, over at least {minutes:g} minutes" in text


def test_the_tree_of_errors_is_that_of_the_code() -> None:
    tree = re.search(r"^SchedulerError\n(?:[├│└].*\n)+", errors.__doc__ or "", re.MULTILINE)
    assert tree and tree[0] in (PAGES / "errors.md").read_text(encoding="utf-8")


def leaves(model: type[Checked]) -> Iterator[str]:
    """Every key of a file; those of a part of it with the part's name."""
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
    """The commands of a command."""
    return dict(command.commands)


# The website


@pytest.mark.slow
def test_the_website_is_built_without_a_complaint(tmp_path: Path) -> None:
    """Every internal link resolves; nothing is fetched from elsewhere."""
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(ROOT / "docs/mkdocs.yml")]
    done = subprocess.run([*build, "-d", str(tmp_path / "site")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert re.findall(r"(?:src|href)=\"(https?://[^\"]+)\.(?:js|css|woff2?)\"", page) == []


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
