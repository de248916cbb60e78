"""The sandbox of templates: what they can do, what they cannot, what it costs. One process is measured."""

from __future__ import annotations

import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from scheduler.schema.plain_values import plain, plain_params
from scheduler.schema.sandbox import Sandbox
from scheduler.schema.template_errors import FAULTS, explained

VALUES: dict[str, Any] = {
    "d": {"items": 5, "n": {"cpus": 2}},
    "e": {"a": 1},
    "xs": [{"k": 1}, {"k": 2}],
    "s": "it's",
    "n": 7,
    "x": 0.5,
    "secret": "SECRET77",
}
WORK = {
    '{{ d.items }} {{ d["items"] }} {{ d.n.cpus }} {{ e.items() | list }}': "5 5 2 [('a', 1)]",
    '{{ "ab".upper() }} {{ "a,b".split(",") | last }} {{ x.is_integer() }} {{ n.bit_length() }}': "AB b False 3",
    "{% for k, v in e.items() %}{{ loop.index }}{{ k }}{{ v }}{% endfor %}": "1a1",
    "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(1) }}{{ m('a') | upper }}": "<1><A>",
    "{% macro m() %}{{ caller(4) }}{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}": "4",
    "{% set ns = namespace(a=1) %}{% for i in range(3) %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}": "4",
    "{% for x in [1, [2, [3]]] recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}": "123",
    "{% for g in xs | groupby('k') %}{{ g.grouper }}{{ g.list | length }}{% endfor %}": "1121",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{% set j = joiner('|') %}{{ j() }}{{ j() }}": "ab|",
    "{% filter upper %}abc{{ 1 }}{% endfilter %}{{ 2 ** 10 }} {{ 'a' ~ 1 ~ none }} {{ s[1:] }}": "ABC11024 a1None t's",
    "{{ '%5.2f|%s' % (x, s) }} {{ '%03d' | format(n) }} {{ '{:>3}{a[k]}'.format(n, a=xs[0]) }}": " 0.50|it's 007   71",
    "{{ e | tojson }} {{ xs | map(attribute='k') | join('-') }} {{ nothing | default('u') }}": '{"a": 1} 1-2 u',
    "{{ 1 in [1] }} {{ 'x' | center(5) }} {{ [3, 1] | sort | first }} {{ 3.7 | round }}": "True   x   1 4.0",
}
UNSAFE = [
    "{{ s.__class__ }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ n.to_bytes(9) }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "{{ s | attr('__class__') }}",
    "{{ ['__class__'] | map('attr') | list }}",
    "{{ s.encode() }}",
    "{{ dict.fromkeys([1]) }}",
    "{{ dict.__subclasses__() }}",
    "{{ e.update({1: 2}) }}",
    "{{ xs.append(1) }}",
    "{{ self._TemplateReference__context }}",
    "{{ loop }}",
    "{{ namespace }}",
    "{{ cycler }}",
    "{{ s.upper }}",
    "{{ lipsum() }}",
    "{{ e.items.__self__ }}",
    "{{ (s | e).__html__() }}",
    "{{ range.__class__ }}",
    "{{ s() }}",
    "{% set c = cycler(1) %}{{ c.items }}",
    "{{ '{0.next}'.format(cycler(1)) }}",
    "{{ s.format.__globals__ }}",
    "{{ joiner.__init__.__globals__ }}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{{ [].copy.__self__ }}",
    "{{ [s.upper] }}",
    "{{ s.upper ~ '' }}",
    "{{ '%s' % [s.upper] }}",
    "{{ '{}'.format([s.upper]) }}",
    "{{ namespace | string }}",
    "{{ [range] | join }}",
    "{{ {'a': range} | urlencode }}",
    "{{ [['{0.x}']] | map('map', 'attr', 'format') | list }}",
    "{% for i in [1] %}{{ [loop.cycle] }}{{ loop | upper }}{% endfor %}",
    "{{ [s] | map(attribute='upper') | list }}",
    "{{ e.keys() }}",
    "{{ [1] | map('steps of') | list }}",
    "{{ s | truncate(2, true) }}",
    "{% call '{0}'.format(s) %}{% endcall %}",
]
PLACES = [
    "{{ %s }}",
    "{%% set y = %s %%}",
    "{%% if %s %%}{%% endif %%}",
    "{%% for y in %s %%}{%% endfor %%}",
    "{%% macro m(a=%s) %%}{{ a }}{%% endmacro %%}{{ m() }}",
    "{{ [%s] }}",
    "{{ [1] | map('string') | list ~ (%s) }}",
    "{%% filter replace('a', %s) %%}a{%% endfilter %%}",
    "{%% with y = %s %%}{%% endwith %%}",
]
COSTLY = [
    "range(10 ** 9) | list",
    "'x' * 10 ** 10",
    "10 ** 10 * 'x'",
    "[1] * 10 ** 10",
    "'x' | center(10 ** 10)",
    "'x'.ljust(10 ** 10)",
    "'x'.zfill(10 ** 10)",
    "'%10000000000d' % 1",
    "'%.10000000000f' % 1.5",
    "'%*d' % (10 ** 9, 1)",
    "'%0999999999d' | format(1)",
    "'{:10000000000}'.format(1)",
    "'{:{}}'.format(1, 10 ** 10)",
    "10 ** (10 ** 10)",
    "2 ** (2 ** 30)",
    "9 ** 99999999",
    "[1] | batch(10 ** 9, 0) | list",
    "[1] | slice(10 ** 9) | list",
    "'a' | indent(10 ** 9, true)",
    "1.5 | round(10 ** 9, 'ceil')",
    "7 | round(-10 ** 9)",
    "('a' * 9999) | replace('a', 'b' * 9999)",
    "('a' * 9999).replace('a', 'b' * 9999)",
    "('a' * 9999).replace('', 'b' * 9999)",
    "('a' * 9999).join(range(9999) | map('string'))",
    "range(99999) | join('b' * 9999)",
    "('ab' * 99) | wordwrap(1, wrapstring='x' * 10 ** 6)",
    "('%s' * 9999) % (('x' * 9999,) * 9999)",
    "('a\t' * 9999).expandtabs(10 ** 6)",
    "e | tojson(indent=10 ** 9)",
    "('f' * 9999) | int(base=16)",
    "[1] | map('center', 10 ** 9) | list",
    "('%(a)s' * 9999) % {'a': 'x' * 9999}",
    "range(99999) | sum(start=[])",
    "('x' | truncate(10 ** 9)) * 10 ** 9",
    "range(-10 ** 30, 10 ** 30)",
    "('x' * 10 ** 6) ~ ('x' * 10 ** 7)",
    "('a ' * 3 * 10 ** 6) | title",
    "('ab ' * 3 * 10 ** 6) | wordcount",
    "('🚀' * 5 * 10 ** 6) | list",
    "('🚀' * 5 * 10 ** 6) | sort",
    "('🚀' * 5 * 10 ** 6) | unique | list",
    "('🚀' * 5 * 10 ** 6) | join(',')",
    "','.join('🚀' * 5 * 10 ** 6)",
    "('a,' * 5 * 10 ** 6).split(',')",
    "('a ' * 5 * 10 ** 6).split()",
    "('a\n' * 5 * 10 ** 6).splitlines()",
    "cycler(*'🚀' * 5 * 10 ** 6)",
    "'%s' | format(*'🚀' * 5 * 10 ** 6)",
    "([[]] | map('in a loop', -10 ** 12) | list) ~ 'x' * 10 ** 8",
]
DOUBLE = "{% set ns = namespace(x=__) %}{% for i in range(99) %}{% set ns.x = ++ %}{% endfor %}"
SAME_HASH = "{% set x %}{% for i in range(9000) %}{{ i * (2 ** 61 - 1) }} {% endfor %}{% endset %}"
FREE_STEPS = "{% set x = [-10 ** 12] | map('steps of') | list %}"
LONG = [
    SAME_HASH + "{{ x.split() | map('int') | unique | list | length }}",
    SAME_HASH + "{% set y = x.split() | map('int') | list %}{{ dict(y | batch(2)) | length }}",
    "{% set m = 2 ** 61 - 1 %}{{ {" + ",".join(f"{n}*m:1" for n in range(20_000)) + "} | length }}",
    "{{ ('%' * 2 * 10 ** 6) % () }}",
    FREE_STEPS + "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}" + "y" * 9999 + "{% endfor %}",
    "{% for i in range(99999) %}{{ range(9999) | list | pprint }}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% block b %}{{ self.b() }}{% endblock %}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(50) }}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% set x = range(99999) | list %}{% for i in x %}{% if i in x %}{% endif %}{% endfor %}",
    "{% set x = range(99999) | list %}{% for i in x %}{{ x | sort | first }}{% endfor %}",
    "{{ " + "(" * 9999 + "1" + ")" * 9999 + " }}",
    "{{ 1" + "+1" * 9999 + " }}",
    "{% if 1 %}" * 999 + "{% endif %}" * 999,
    "{% for a in [1] %}" * 25 + "{% endfor %}" * 25,
    "x" * (1 << 19),
    "{{ 1 }}" * 99999,
    DOUBLE.replace("__", "'ab'").replace("++", "ns.x ~ ns.x"),
    DOUBLE.replace("__", "'ab'").replace("++", "ns.x + ns.x"),
    DOUBLE.replace("__", "[1]").replace("++", "[ns.x, ns.x]") + "{{ ns.x }}",
    DOUBLE.replace("__", "[1]").replace("++", "ns.x + ns.x"),
    DOUBLE.replace("__", "1").replace("++", "(ns.x, ns.x)") + "{{ {}[ns.x] }}",
    DOUBLE.replace("__", "7").replace("++", "ns.x * ns.x"),
    DOUBLE.replace("range(99)", "range(99999)").replace("__", "1").replace("++", "(ns.x,)") + "{{ {ns.x: 1} }}",
    DOUBLE.replace("__", "'ab'").replace("++", "'%s%s' % (ns.x, ns.x)"),
    DOUBLE.replace("__", "[]").replace("range(99)", "range(99999)").replace("++", "[ns.x, [" + "1," * 9999 + "]]"),
    DOUBLE.replace("__", "'ab'").replace("++", "'{0}{0}'.format(ns.x)"),
    DOUBLE.replace("__", "'ab'").replace("++", "[ns.x, ns.x] | join"),
    "{% set x %}" + "y" * 9999 + "{% endset %}{% for i in range(99999) %}{{ x }}{% endfor %}",
    DOUBLE.replace("__", "[1]").replace("++", "[ns.x, ns.x]") + "{{ ns.x == [ns.x] }}",
]


def made(text: str) -> str:
    sandbox = Sandbox()
    return sandbox.render(sandbox.compiled(text), VALUES)


@pytest.mark.parametrize(("text", "expected"), WORK.items())
def test_values_their_methods_and_jinjas_own_objects_work(text: str, expected: str) -> None:
    assert made(text) == expected


@pytest.mark.parametrize("text", UNSAFE)
def test_nothing_else_can_be_reached_or_called(text: str) -> None:
    with pytest.raises(FAULTS):
        made(text)


def every_costly_template() -> list[str]:
    return [*(place % text for place in PLACES for text in COSTLY), *LONG]


ONE_PROCESS = """
import re
from pathlib import Path
from scheduler.schema.template_errors import FAULTS, explained
from tests.schema.test_sandbox import every_costly_template, made
for text in every_costly_template():
    try:
        made(text)
    except FAULTS as error:
        words = explained(error, source=text)
        known = ("use ", "make ", "contain itself", "sum adds", "right file", "does not exist")
        assert any(part in words for part in known), (text[:80], words)
    else:
        raise SystemExit(f"not refused: {text[:200]}")
print(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""
"""Prints the peak of its own memory: ru_maxrss would count that of the process which has started it, too."""


def test_memory_and_time_of_a_template_are_bounded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ONE_PROCESS], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert int(done.stdout) < 150_000  # KiB


@pytest.mark.parametrize(
    "text",
    [
        "{{ d[secret] }}",
        "{{ ('{' ~ secret ~ '}').format() }}",
        "{{ [1] | map(secret) | list }}",
        "{{ xs | sum(attribute=secret) }}",
        "{{ {secret: 1}.get([secret]) }}{{ secret.index('9') }}",
        "{{ s | attr(secret) }}",
        "{{ secret % 5 }}",
        "{{ secret + 5 }}",
        "{{ secret.nope }}",
    ],
)
def test_no_message_contains_a_value(text: str) -> None:
    with pytest.raises(FAULTS) as error:
        made(text)
    assert "SECRET77" not in explained(error.value, source=text)


class Colour(str, Enum):
    RED = "red"


def test_objects_become_plain_values_and_others_are_left_out() -> None:
    given = {"c": Colour.RED, "p": Path("/a"), "t": (1, Path("b")), "m": {1: None}, "b": True}
    assert plain(given) == {"c": "red", "p": "/a", "t": [1, "b"], "m": {"1": None}, "b": True}
    assert {type(value) for value in plain(given).values()} == {str, list, dict, bool}
    assert plain_params({"good": 1, "object": object(), "inside": [object()], "call": print}) == {"good": 1}
    around: list[Any] = []
    around.append(around)
    with pytest.raises(TypeError):
        plain(around)


def test_a_value_may_be_named_self() -> None:
    environment = Sandbox()
    template = environment.compiled("{{ self }}{% for one in self %}-{{ one }}{% endfor %}")
    assert environment.render(template, {"self": "ab"}) == "ab-a-b"
    with pytest.raises(UndefinedError, match="'self' is undefined"):
        environment.render(template, {"other": 1})
