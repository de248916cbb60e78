"""A command with params becomes shell text. Real shells judge it, with every value in every context."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.errors import JobError
from scheduler.render.command import fill, words
from tests.end_to_end.hostile import CANARY, VALUES
from tests.unpacked import SHELLS, installed

SH = [shell for shell in SHELLS if installed(shell)]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
SHELLISH = st.text(st.sampled_from("a1'\"\\$`(){}[]<>|&;#~!*?=,:/ \n\t-_%@"), max_size=12)
PLACES = [
    "printf '%s\\0' {{ v }}",
    "printf '%s\\0' \"{{ v }}\"",
    "printf '%s\\0' '{{ v }}'",
    "x={{ v }}; printf '%s\\0' \"$x\"",
    "x=\"{{ v }}\" y='{{ v }}'; printf '%s\\0' \"$x\"",
    "f() { printf '%s\\0' \"$1\"; }; f {{ v }}",
    "(printf '%s\\0' {{ v }})",
    "{ printf '%s\\0' \"$(printf %sx {{ v }})\"; } | tr -d '\\n' >/dev/null; printf '%s\\0' {{ v }}",
    "for x in {{ v }}; do printf '%s\\0' \"$x\"; done",
    "case {{ v }} in x) ;; *) ;; esac; printf '%s\\0' {{ v }}",
    "printf '%s\\0' {{ v }} # a comment that's odd\n",
    "# it's odd\nprintf '%s\\0' {{ v }}",
    "# a comment ends, though there is a \\\nprintf '%s\\0' \"{{ v }}\"",
    "printf '%s\\0' \"it's\" >/dev/null; printf '%s\\0' {{ v }}",
    "printf '%s\\0' \\' >/dev/null; printf '%s\\0' {{ v }}",
    "printf '%s\\0' a#b' ' >/dev/null; printf '%s\\0' {{ v }}",
    "printf '%s\\0' a\\\n#'b c' >/dev/null; printf '%s\\0' {{ v }}",
    "printf '%s\\0' \"${HOME:-none}\" >/dev/null; printf '%s\\0' {{ v }}",
    "{% raw %}printf '%s\\0' ${#HOME} >/dev/null{% endraw %}; printf '%s\\0' {{ v }}",
    "printf '%s\\0' \"$(echo \"a 'b\")\" >/dev/null; printf '%s\\0' {{ v }}",
    "printf '%s\\0' $((1 + (2 * 3))) >/dev/null; printf '%s\\0' {{ v }}",
    "printf '%s\\0' `echo a` >/dev/null; printf '%s\\0' {{ v }}",
    'x="\\${{ v }}"; printf \'%s\\0\' "${x#?}"',
    "printf '%s\\0' {{ v }}>&1",
]


def run(text: str, shell: str, folder: Path) -> bytes:
    done = subprocess.run([*SHELLS[shell], "-c", text], cwd=folder, capture_output=True, timeout=600)
    assert not (folder / CANARY).exists(), text
    return done.stdout


def one_word(place: str, value: str, shell: str, folder: Path) -> None:
    text = fill(place, {"v": value}, what="command")
    assert run(text, shell, folder) == value.encode() + b"\0", text


@pytest.mark.parametrize("shell", SH)
@pytest.mark.parametrize("place", PLACES)
def test_every_hostile_value_is_one_word_in_every_context(place: str, shell: str, tmp_path: Path) -> None:
    params = {f"v{n}": value for n, value in enumerate(VALUES)}
    text = "\n".join(fill(place.replace("v }}", f"{name} }}}}"), params, what="command") for name in params)
    assert run(text, shell, tmp_path) == "".join(value + "\0" for value in VALUES).encode()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(PLACES), values=st.lists(TEXT | SHELLISH, min_size=1, max_size=30), sh=st.sampled_from(SH))
def test_any_text_is_one_word_in_any_context(place: str, values: list[str], sh: str, tmp_path: Path) -> None:
    params = {f"v{n}": value for n, value in enumerate(values)}
    text = "\n".join(fill(place.replace("v }}", f"{name} }}}}"), params, what="command") for name in params)
    assert run(text, sh, tmp_path) == "".join(value + "\0" for value in values).encode()


# Contexts in which a value could be executed, or could be more than one word: such a value is refused.
REFUSED = {
    "a here-document": "cat <<E\n{{ v }}\nE",
    "behind a here-document": "cat <<'E'\nit's\nE\necho \"{{ v }}\"",
    "a here-document of a substitution": "echo $(cat <<E\n{{ v }}\nE\n)",
    "backticks": "echo `echo {{ v }}`",
    "backticks in quotes": 'echo "`echo {{ v }}`"',
    "behind backticks that hold a quote": "echo `echo \"a` ; echo {{ v }}",
    "a dollar quote": "echo $'{{ v }}'",
    "behind a dollar quote, which dash does not know": "echo $'it\\'s' {{ v }} ''",
    "a comment": "echo # {{ v }}",
    "braces": "echo ${x:-{{ v }} }",
    "braces in quotes": 'echo "${x:-{{ v }} }"',
    "behind a single quote in quoted braces": "echo \"${x:-it's}\" {{ v }} 'b'",
    "arithmetic": "echo $(({{ v }}))",
    "an arithmetic command": "(({{ v }}))",
    "old arithmetic": "echo $[{{ v }}]",
    "a test of numbers": "[[ {{ v }} -gt 3 ]]",
    "a subscript": "x[{{ v }}]=3",
    "let": "let {{ v }}",
    "behind a dollar": "echo ${{ v }}",
    "behind a dollar in quotes": 'echo "${{ v }}"',
    "behind a dollar in a substitution": "echo $(echo ${{ v }})",
    "behind a backslash": "echo \\{{ v }}",
    "behind a case in a substitution": 'echo "$(case x in x) echo {{ v }};; esac)"',
    "behind a case in a subshell": '(case x in x) echo "$(echo {{ v }})";; esac)',
    "a program in single quotes": "bash -c 'echo {{ v }}'",
    "a program in double quotes": 'bash -lc "echo {{ v }}"',
    "a program in quotes, within quotes": "sh -e -c 'echo \"{{ v }}\"'",
    "a program of Python": "python3 -c 'print(\"{{ v }}\")'",
    "a program in a subshell": "(bash -c 'echo {{ v }}')",
    "a program in a substitution": "x=$(sh -c \"echo {{ v }}\")",
    "a program behind another": "true && cd /x; env A=1 bash -euc 'echo {{ v }}'",
    "eval in a quoted substitution": 'echo "$(eval echo {{ v }})"',
    "a substitution in a program": "bash -c \"echo $(echo {{ v }})\"",
    "a whole program": "sh -c {{ v }}",
    "eval": "eval echo {{ v }}",
    "eval by another way": "\\eval x={{ v }}",
    "eval in quotes": 'eval "echo {{ v }}"',
    "a trap": "trap 'echo {{ v }}' EXIT",
}  # fmt: skip
EVIL = [value for value in VALUES if CANARY in value] + [f"a[$(touch {CANARY})]", f"\\'; touch {CANARY}; '", "HOME"]


@pytest.mark.parametrize("where", REFUSED)
def test_a_value_is_refused_where_it_could_be_executed(where: str, tmp_path: Path) -> None:
    for value in (*EVIL[:-1], "a b"):
        with pytest.raises(JobError, match=r"^job 'b0': container_command: "):
            fill(REFUSED[where], {"v": value}, what="job 'b0': container_command")


@pytest.mark.parametrize("where", ["a program in single quotes", "a program of Python", "eval", "a test of numbers"])
@pytest.mark.parametrize("value", [500, 1.5, "epic_craterlake.xml", "/cvmfs/eic", "a-b:c=d,e@f%g+h"])
def test_plain_values_are_accepted_in_a_program(where: str, value: Any) -> None:
    assert str(value) in fill(REFUSED[where], {"v": value}, what="command")


@pytest.mark.parametrize(
    ("template", "params", "text"),
    [
        ("npsim -N {{ events }}", {"events": 500}, "npsim -N 500"),
        ("npsim {{ files }}", {"files": ["a b", "c", "it's"]}, "npsim 'a b' c 'it'\\''s'"),
        ("npsim {{ files }}", {"files": []}, "npsim "),
        ("npsim {% for f in files %}-i {{ f }} {% endfor %}", {"files": ["a b", "c"]}, "npsim -i 'a b' -i c "),
        ("npsim {{ 'a b' }} {{ n + 1 }}", {"n": 2}, "npsim 'a b' 3"),
        ("{% if n > 1 %}many{% else %}one{% endif %}", {"n": 2}, "many"),
        ("echo {{ d.x }} {{ d['y z'] }}", {"d": {"x": 1, "y z": "a b"}}, "echo 1 'a b'"),
        ("echo {{ v | default('none') }}", {"v": None}, "echo None"),
        ("echo {% raw %}{{ v }}{% endraw %}", {}, "echo {{ v }}"),
        ("echo '{{ v }}'\n", {"v": 1}, "echo '1'\n"),
        ("{{ program }} x", {"program": "a=b"}, "'a=b' x"),
        ("{{ program }} x", {"program": "if"}, "'if' x"),
        ("echo {{ n }}>file", {"n": 2}, "echo '2'>file"),
        ("echo ~{{ v }}", {"v": "root"}, "echo ~'root'"),
        ("echo {a,{{ v }}}", {"v": "x,y"}, "echo {a,'x,y'}"),
    ],
)
def test_templates_are_filled_in(template: str, params: dict[str, Any], text: str) -> None:
    assert fill(template, params, what="command") == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("echo {{ evnts }}", "{{ evnts }} is not among the params; did you mean 'events'?"),
        ("echo {{ d.nothing }}", "nothing"),
        ("echo {{ events", "unexpected end of template"),
        ("echo {{ events.__class__.__mro__ }}", "unsafe"),
        ("echo {% for i in range(10 ** 9) %}x{% endfor %}", "a range has more than 100000 numbers"),
        ("echo {{ 1 // 0 }}", "division"),
        ("echo {% set x %}{{ events }}{% endset %}{{ x }}", "a value within a value"),
        ("echo {% filter replace('0', '7') %}{{ events }}{% endfilter %}", "cannot be used in a command"),
        ("echo {% filter replace('x', word) %}x{% endfilter %}", "cannot be used in a command"),
        ("{% if 1 %}{% filter indent(word) %}\n{% endfilter %}{% endif %}", "cannot be used in a command"),
        ("echo {% call '{0}'.format(word) %}{% endcall %}", "no macro"),
        ("echo \ue000", "cannot be used"),
        ("echo \0", "cannot be used"),
    ],
)
def test_errors_in_a_command_template_are_reported(template: str, message: str) -> None:
    with pytest.raises(JobError) as error:
        fill(template, {"events": 500, "d": {}}, what="job 'b0': container_command")
    assert str(error.value).startswith("job 'b0': container_command: ")
    assert message in str(error.value)


@pytest.mark.parametrize("value", ["\ue000", "\ue0000\ue001", "\ue001"])
def test_a_value_that_contains_our_marks_is_kept_or_refused(value: str, tmp_path: Path) -> None:
    try:
        one_word("printf '%s\\0' {{ v }}", value, SH[0], tmp_path)
    except JobError as error:
        assert "a value within a value" in str(error)


def test_arguments_are_not_quoted() -> None:
    templates = ["{{ v }}", "<{{ v }}>", "$HOME", "", "{{ l }}"]
    assert words(templates, {"v": "it's $x", "l": [1, 2]}, what="arguments") == [
        "it's $x", "<it's $x>", "$HOME", "", "[1, 2]",
    ]  # fmt: skip


def test_a_wrong_argument_is_named_by_its_number() -> None:
    with pytest.raises(JobError, match=r"^job 'b0': arguments\[1\]: \{\{ w \}\} is not among the params"):
        words(["{{ v }}", "{{ w }}"], {"v": 1}, what="job 'b0': arguments")


def test_a_literal_argument_keeps_its_carriage_returns() -> None:
    templates = ["a\rb\r\nc", "\r", "x\r{{ v }}\r\n{# a\r comment #}{{ v\r\n}}", "{% if v %}\r{% endif %}\n"]
    value = "V\r\ue002"  # the first mark that is tried
    assert words(templates, {"v": value}, what="arguments") == [
        "a\rb\r\nc", "\r", f"x\r{value}\r\n{value}", "\r\n",
    ]  # fmt: skip
