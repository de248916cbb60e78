"""Thousands of values that some program could interpret instead of treating them as text."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.end_to_end.hostile import CANARY, VALUES

HARD = [
    "'", '"', "`", "$", "\\", "\n", "\r\n", "\r", "\t", "\0", "\x1b[2J", "\x7f", "\x85", "\u2028", "\ufeff", "\ud800",
    ";", "&", "|", "<", ">", "(", ")", "{", "}", "[", "]", "*", "?", "!", "~", "#", "%", "%s%n", "%j", "^array_index^",
    "-", "--", "-e", "..", "../", "/", "//", ".", ":", ",", "=", "@", " ", "é", "中", "🚀", "\u202e", "{{", "}}", "{%",
    "{#", f"$(touch {CANARY})", f"`touch {CANARY}`", f"${{x:-$(touch {CANARY})}}", f"; touch {CANARY} #",
    f"'; touch {CANARY}; '", f'"; touch {CANARY}; "', f"\ntouch {CANARY}\n", f"|| touch {CANARY}",
    "\n#SBATCH --wrap=id\n", "\n#PBS -v A=`id`\n", "EOF\n", "{{ cycler.__init__.__globals__ }}", "../../../tmp/x",
    "/etc/passwd", "$HOME", "${IFS}", "$'\\n'", "\\\n", "a" * 300,
]  # fmt: skip
"""Pieces of text; a value is a few of them in a row."""

hostile = st.one_of(
    st.sampled_from(VALUES), st.lists(st.sampled_from(HARD), min_size=1, max_size=5).map("".join), st.text(max_size=30)
)
"""Any hostile value, including those that no shell can pass on."""

carried = hostile.filter(lambda text: "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text))
"""The values that a job may hold: Unicode text without NUL."""

LARGE = ["x" * (1 << 20), f"$(touch {CANARY})" * 50_000, "é'\"`\n" * 150_000]
"""Values of a megabyte each."""
