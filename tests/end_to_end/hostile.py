"""Values that a shell, a template or a batch system could interpret instead of treating them as text."""

from __future__ import annotations

CANARY = "canary-of-the-end-to-end-tests"
"""A file of this name, on any machine, proves that a value was executed."""

VALUES = [
    "", " ", " a  b ", "it's", '"', '""', "\\", "\\\\n", "\\'", "a'b\"c`d$e\\f\ng", "$HOME", "${HOME}", "$$", "$",
    f"$(touch {CANARY})", f"`touch {CANARY}`", f"; touch {CANARY} ;", f"\ntouch {CANARY}\n", f"' ; touch {CANARY} ; '",
    f'" ; touch {CANARY} ; "', f"${{x:-$(touch {CANARY})}}", f"$((`touch {CANARY}`))", f"| touch {CANARY}", "&",
    "a\nb\n", "\n", "\r\n", "\t", "-n", "--help", "*", "?", "[a-z]", "~", "!x", "!!", "%s%d%", "%j %A_%a %x",
    "#no comment", "<a", ">a", "{{ x }}", "{% x %}", "{# x #}", "\\{{ x }}", "é ü 中 🚀", "e\u0301", "\x01\x1b[31m\x7f",
    "a" * 5000, "a=b", "=", "@",
]  # fmt: skip
EVERYTHING = "".join(value for value in VALUES if value != "\r\n")

JOB_IDS = [
    f"it's \"a\" `touch {CANARY}` $(touch {CANARY}) $HOME ${{x}} \\ \\n {{{{ x }}}} %j ; é\nb !x", "-rf", "--help", " ",
    "*", "~", "é 中 🚀", "a\nb\n", "\\", "%A_%a", "...", ".hidden", "a:b,c=d", "#", "'", '"', "$", "`", "x" * 200,
    "\x01\x1b",
]  # fmt: skip
"""Job ids that can be names of folders."""
