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


_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
_LIBRARY = """\
import sys
version = "%d.%d" % sys.version_info[:2]
try:
    import io, json, os, pickle, traceback
except ImportError as error:
    sys.exit("Python %s has no complete standard library: %s" % (version, error))
print(version)
"""
"""Debian's package python3-minimal has no `json`, for instance."""


def python_probe(site: Site) -> str:
    """sh text that prints the minor version of the site's Python, such as ``3.11``, with its modules and prologue."""
    return _probe(site, _VERSION)


def python_check(site: Site) -> str:
    """The same, and it fails if the standard library lacks what a function job needs; stderr has the message."""
    return _probe(site, _LIBRARY)


def _probe(site: Site, code: str) -> str:
    load = f"command -v module >/dev/null 2>&1 || . /etc/profile; module load {' '.join(map(quote, site.modules))}\n"
    before = f"{load if site.modules else ''}{site.prologue}"
    return f"exec 3>&1 >/dev/null\n{before}\n{python_of(site)} -c {quote(code)} >&3\n"
