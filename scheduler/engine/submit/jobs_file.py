"""The file jobs.json of a bundle: what a ledger needs to know of its jobs. With it a lost ledger can be rebuilt.

It holds no params, variables or commands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAME = "jobs.json"
_VERSION = 1
_SHARED = ("type", "patterns", "resources")
"""Values that many jobs have in common: they are stored once."""
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_OWN = ("element", "job_id", "working_dir", "earlier")


@dataclass(frozen=True)
class JobsFile:
    """What the file holds.

    Attributes:
        site, identity: the name of the site, and what distinguishes it from all others.
        batch_system: its name.
        created: when the bundle was recorded (seconds since 1970).
        campaign: of its jobs, or None.
        jobs: for each job ``element``, ``job_id``, ``working_dir``, ``type``, ``patterns``, ``resources`` (the last two
            as JSON), ``campaign``, ``content`` (its digest; may be empty), and ``earlier``: token and element of the
            attempt before, or None.
    """

    site: str
    identity: str
    batch_system: str
    created: float
    jobs: Sequence[Mapping[str, Any]]

    def content(self) -> bytes:
        """The content of the file, one line."""
        kinds: dict[tuple[Any, ...], int] = {}
        rows = []
        for job in self.jobs:
            kind = kinds.setdefault(tuple(job[name] for name in (*_SHARED, "campaign")), len(kinds))
            rows.append([kind, *(job[name] for name in _OWN)])
        head = {"version": _VERSION, "site": self.site, "identity": self.identity, "batch_system": self.batch_system}
        contents = [job["content"] for job in self.jobs]
        more = {"created": self.created, "kinds": list(kinds), "jobs": rows, "contents": contents}
        return json.dumps({**head, **more}).encode()

    @classmethod
    def read(cls, text: str) -> JobsFile:
        """The file with this content.

        Raises:
            ValueError: it is not such a file.
        """
        try:
            values = json.loads(text)
            kinds = [dict(zip((*_SHARED, "campaign"), kind, strict=True)) for kind in values["kinds"]]
            rows = [dict(zip(("kind", *_OWN), row, strict=True)) for row in values["jobs"]]
            contents = values.get("contents") or [""] * len(rows)  # an older version writes none
            jobs = [
                kinds[row.pop("kind")] | row | {"content": _digest(c)} for row, c in zip(rows, contents, strict=True)
            ]
            site, identity, system = (str(values[name]) for name in ("site", "identity", "batch_system"))
            return cls(site, identity, system, float(values["created"]), jobs)
        except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise ValueError(f"it is not a {NAME}: {error!r}") from error


def _digest(value: object) -> str:
    return value if isinstance(value, str) and _DIGEST.match(value) else ""
