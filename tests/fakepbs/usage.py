"""The usage messages of the commands, and how they read options."""

from __future__ import annotations

from collections.abc import Iterator

QSUB = """\
usage: qsub [-a date_time] [-A account_string] [-c interval]
	[-C directive_prefix] [-e path] [-f ] [-h ] [-I [-X]] [-j oe|eo] [-J X-Y[:Z]]
	[-k keep] [-l resource_list] [-m mail_options] [-M user_list]
	[-N jobname] [-o path] [-p priority] [-P project] [-q queue] [-r y|n]
	[-R o|e|oe] [-S path] [-u user_list] [-W otherattributes=value...]
	[-v variable_list] [-V ] [-z] [script | -- command [arg1 ...]]
       qsub --version
"""
QSTAT = """\
usage: 
qstat [-f] [-J] [-p] [-t] [-x] [-E] [-F format | -w] [-D delim] [ job_identifier... | destination... ]
qstat [-a|-i|-r|-H|-T] [-J] [-t] [-u user] [-n] [-s] [-G|-M] [-1] [-w]
	[ job_identifier... | destination... ]
qstat -Q [-f] [-F format] [-D delim] [ destination... ]
qstat -q [-G|-M] [ destination... ]
qstat -B [-f] [-F format] [-D delim] [ server_name... ]
qstat --version
"""  # noqa: W291  (qstat prints it so)
QDEL = """\
usage:
	qdel [-W force|suppress_email=X] [-x] job_identifier...
	qdel --version
"""
QHOLD = """\
usage: {0} [-h hold_list] job_identifier...
       {0} --version
"""
QSELECT = """\
usage: qselect [-a [op]date_time] [-A account_string] [-c [op]interval]
	[-h hold_list] [-H] [-J] [-l resource_list] [-N name] [-p [op]priority]
	[-q destination] [-r y|n] [-s states] [-t subopt[op]date_time] [-T] [-P project_name]
	[-x] [-u user_name]
       qselect --version
"""
VERSION = "pbs_version = 23.06.06\n"


class Usage(Exception):
    """A command was called wrongly. The message comes before the usage."""


def options(letters: str, arguments: list[str], command: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Read options as the C library does: ``-xVALUE``, ``-x VALUE``, ``-ab``; what follows ``--`` is not an option."""
    found: list[tuple[str, str]] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            return found, ["--", *rest]
        found.extend(_letters(letters, word[1:], rest, command))
    return found, rest


def _letters(known: str, word: str, rest: list[str], command: str) -> Iterator[tuple[str, str]]:
    while word:
        letter, word = word[0], word[1:]
        index = known.find(letter)
        if index < 0 or letter == ":":
            yield "?", f"{command}: invalid option -- '{letter}'\n"
        elif known[index + 1 : index + 2] != ":":
            yield letter, ""
        elif word:
            yield letter, word
            return
        elif rest:
            yield letter, rest.pop(0)
        else:
            yield "?", f"{command}: option requires an argument -- '{letter}'\n"
