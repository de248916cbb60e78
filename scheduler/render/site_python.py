"""The Python that functions and ``.py`` scripts get on a site, and sh text that prints its version."""

from __future__ import annotations

import sys

from scheduler.quoting import quote, quote_path
from scheduler.site.site import Site


def python_of(site: Site) -> str:
    """The site's Python as a quoted shell word. On this machine: our own Python, unless the site file names one."""
    if site.is_local and "python" not in site.model_fields_set:
        return quote(sys.executable)
    return quote_path(site.python, what="python")


def python_probe(site: Site) -> str:
    """sh text that prints the minor version of the site's Python, such as ``3.11``, with its modules and prologue."""
    load = f"command -v module >/dev/null 2>&1 || . /etc/profile; module load {' '.join(map(quote, site.modules))}\n"
    before = f"{load if site.modules else ''}{site.prologue}"
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return f"exec 3>&1 >/dev/null\n{before}\n{python_of(site)} -c {quote(code)} >&3\n"
