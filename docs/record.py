#!/usr/bin/env python3
"""Pictures of the terminal for README and docs: runs real commands in a pseudo-terminal, draws their output as SVG.

    docs/record.py [NAME …]      writes docs/pages/images/NAME.svg for each session below, or for those named

The commands run in an empty folder with a ledger of its own, on site `local` or on the test cluster, there as site
`mycluster`. Only the path of that folder and the version of the kernel are replaced. The files of a session are blocks
of the page that it illustrates, so that the page and its picture show the same.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs/pages"
COLUMNS = 90


@dataclass(frozen=True)
class Session:
    """What a picture shows.

    Attributes:
        page: where its files are blocks with a title.
        files: their titles.
        commands: run one after the other, and shown with their output.
        before: commands that are run first, and not shown.
        plot: a file that the commands write, which is kept as a picture instead of the terminal.
        cluster: the site `mycluster` is the test cluster.
    """

    page: str
    files: tuple[str, ...]
    commands: tuple[str, ...]
    before: tuple[str, ...] = ()
    plot: str = ""
    cluster: bool = False


TELESCOPE = ("telescope.py", "telescope.yaml", "plot.py", "~/.config/scheduler/sites/mycluster.yaml")
RUN = "scheduler run telescope.yaml --site local"
MORE = "sed -i 's/  p: .*/  p: [0, 5, 10, 20, 40, 80]/' telescope.yaml"
GOOD = "sed -i 's/  p: .*/  p: [5, 10, 20, 40, 80]/' telescope.yaml"
PLOT = "scheduler status --campaign telescope --all --json >results.json; python plot.py"
DEMO = (
    f"scheduler run {ROOT}/examples/b0/scan.yaml --site local;"
    f" python {ROOT}/examples/b0/picture.py demo-output/acts --scan {ROOT}/examples/b0/scan.yaml"
)
SESSIONS = {
    "run": Session(
        "quickstart.md",
        ("toy.py", "scan.yaml", "fragile.sh", "fragile.yaml"),
        ("cat scan.yaml", "scheduler run scan.yaml --site local", "scheduler run fragile.yaml --site local"),
    ),
    "tutorial-run": Session("tutorial.md", TELESCOPE, (RUN,)),
    "tutorial-failed": Session("tutorial.md", TELESCOPE, (RUN,), before=(RUN, MORE)),
    "tutorial-plot": Session("tutorial.md", TELESCOPE, (PLOT,), before=(GOOD, RUN), plot="resolution.png"),
    "demo": Session("tutorial.md", (), (DEMO,), plot="b0.png"),
    "tutorial-check": Session("tutorial.md", TELESCOPE, ("scheduler check mycluster",), cluster=True),
    "tutorial-cluster": Session(
        "tutorial.md", TELESCOPE, ("scheduler run telescope.yaml --site mycluster",), cluster=True
    ),
}

BLACK, RED, GREEN, YELLOW = (70, 76, 94), (240, 113, 120), (145, 208, 118), (255, 203, 107)
BLUE, MAGENTA, CYAN, WHITE = (110, 168, 254), (199, 146, 234), (102, 217, 239), (214, 219, 229)
THEME = TerminalTheme((24, 27, 36), WHITE, [BLACK, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE])
FONT = 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace'
SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: FONT; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font: 16px system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
""".replace("FONT", FONT)
"""Fonts of the reader's machine: rich's own layout fetches one from another host."""


def main() -> None:
    """Record the sessions that are named, or all."""
    for name in sys.argv[1:] or SESSIONS:
        path = PAGES / "images" / name
        path.parent.mkdir(exist_ok=True)
        sys.stderr.write(f"{record(SESSIONS[name], path).relative_to(ROOT)}\n")


def record(session: Session, path: Path) -> Path:
    """Run a session in a home folder of its own, and write its picture; `path` has no ending yet."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "anna")
        (home / "toy").mkdir(parents=True)
        for title in session.files:
            file = home / "toy" / title.replace("~", str(home))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block(PAGES / session.page, title), encoding="utf-8")
        if session.cluster:
            reach_cluster(home)
        for command in session.before:
            printed(command, home=home)
        lines = shown(session.commands, home)
        if session.plot:
            return Path(shutil.copyfile(home / "toy" / session.plot, path.with_suffix(Path(session.plot).suffix)))
        path.with_suffix(".svg").write_text(drawn(lines), encoding="utf-8")
    return path.with_suffix(".svg")


def reach_cluster(home: Path) -> None:
    """Start the test cluster if it is not up, and name it `mycluster` in the SSH configuration of this home folder."""
    found = subprocess.run([ROOT / "tests/cluster/up"], stdout=subprocess.PIPE, text=True)
    if found.returncode != 0:
        raise SystemExit("record: the sessions on a cluster need the test cluster; name the other sessions")
    text = Path(found.stdout.strip()).read_text(encoding="utf-8")
    (home / ".ssh").mkdir(mode=0o700)
    text = text.replace("Host cluster-alice\n", "Host mycluster\n").replace("Host cluster-*\n", "Host *\n")
    (home / ".ssh/config").write_text(text, encoding="utf-8")


def shown(commands: tuple[str, ...], home: Path) -> list[Text]:
    """The lines of the terminal after these commands."""
    lines: list[Text] = []
    for command in commands:
        output = re.sub(r"Linux [\w.-]+", "Linux 6.12", printed(command, home=home).replace(str(home), "/home/anna"))
        prompt = Text.assemble(("$ ", "bold green"), (command, "bold"))
        lines += [*([Text()] if lines else []), prompt, *AnsiDecoder().decode(screen(output))]
    return lines


def block(page: Path, title: str) -> str:
    """The block of a page that has this title."""
    fence = rf'^```\w+ title="{re.escape(title)}"\n(.*?)^```$'
    found = re.search(fence, page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(f"record: {page} has no block titled {title}")
    return found[1]


def printed(command: str, *, home: Path) -> str:
    """Everything that a command writes to a terminal of COLUMNS columns. Its exit code does not matter."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }
    with subprocess.Popen(
        ["bash", "-c", command], cwd=home / "toy", env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        return b"".join(iter(lambda: received(ours), b"")).decode("utf-8", "replace")


def received(terminal: int) -> bytes:
    """The next bytes; none when no process has the terminal open any more, which Linux reports as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        os.close(terminal)
        return b""


def screen(output: str) -> str:
    """What is left on the screen: lines that a progress bar has erased or overwritten are gone."""
    lines, row, at_start = [""], 0, True
    for part in re.split(r"(\r?\n|\r|\x1b\[\??\d*[A-HJKlh])", output):
        if part.endswith("\n"):
            row += 1
            lines += [""] * (row + 1 - len(lines))
        if part in ("\r", "\n", "\r\n"):
            at_start = True
        elif re.fullmatch(r"\x1b\[\d*A", part):
            row = max(0, row - int(part[2:-1] or 1))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part and not re.fullmatch(r"\x1b\[\??\d*[A-HJKlh]", part):
            lines[row], at_start = ("" if at_start else lines[row]) + part, False
    return "\n".join(lines).rstrip("\n")


def drawn(lines: list[Text]) -> str:
    """The picture. The window has a dark ground of its own: it can be read on light pages and on dark ones."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(width=COLUMNS, record=True, file=nowhere, force_terminal=True, color_system="truecolor")
        for line in lines:
            console.print(line, highlight=False)
        return console.export_svg(title="scheduler", theme=THEME, code_format=SVG, unique_id="t")


if __name__ == "__main__":
    main()
