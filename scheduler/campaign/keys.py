"""The keys of a job file, checked. `jobfile.py` makes jobs of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from scheduler.campaign.sweep import listed_values
from scheduler.job.resources import Resources, Retry
from scheduler.schema.model import Checked, Text, printable

if TYPE_CHECKING:
    from typing_extensions import Self

FUNCTION = re.compile(r"(?P<module>.+):(?P<name>[A-Za-z_][A-Za-z0-9_]*)\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _function(text: str) -> str:
    if not FUNCTION.match(text):
        raise ValueError(f"must be 'module:name' or 'path.py:name', not {text[:60]!r}")
    return text


def _word(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be text or a number (in quotes, if it is text), not a {type(value).__name__}")
    return str(value)


def _inputs(value: object) -> object:
    paths = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else [None]
    if not all(isinstance(path, str) and path for path in paths):
        raise ValueError("must be a list of local paths, or a mapping from names in the job's folder to local paths")
    return value


def _axes(axes: object) -> object:
    return {name: _axis(name, values) for name, values in axes.items()} if isinstance(axes, dict) else axes


def _axis(name: str, values: object) -> list[Any]:
    if not _NAME.match(name) or name == "job_id":
        raise ValueError(f"{name!r} cannot be the name of a parameter; use letters, digits and '_', and not job_id")
    try:
        return listed_values(values)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


Word = Annotated[str, BeforeValidator(_word)]
Axes = Annotated[dict[str, list[Any]], BeforeValidator(_axes)]


class JobKeys(Checked):
    """The keys of `job:`: the arguments of `Job`."""

    type: Literal["function", "script", "container"] | None = None
    function: Annotated[Text, AfterValidator(_function)] | None = None
    script_path: Text | None = None
    container_image: Text | None = None
    container_command: Text | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    env_vars: dict[str, Word] = Field(default_factory=dict)
    working_dir: Text | None = None
    output_files: list[Text] = Field(default_factory=list)
    input_files: Annotated[Any, BeforeValidator(_inputs)] = Field(default_factory=list)
    arguments: list[Word] = Field(default_factory=list)
    resources: Resources = Resources()
    retry: Retry | None = None
    template: Text | None = None


class EntryKeys(JobKeys):
    """The keys of an entry of `jobs:`: those that differ from `job:`, and optionally an id."""

    id: Text | None = None


class FileKeys(Checked):
    """The keys of a job file.

    Attributes:
        campaign: its name. A job that was submitted in this campaign before is adopted, not submitted a second time.
        id: a pattern for the ids of the jobs; default: the file's name, with a number if there are several jobs.
        working_dir: a pattern for the local folders of the outputs; default: the id.
        job: the keys that all jobs have in common.
        jobs: for jobs that differ in more than parameters: the keys of each that differ from `job`.
        matrix: name of a parameter → its values; there is one job for each combination.
        zip: name of a parameter → its values, which are combined by position: the first ones, the second ones, …
    """

    campaign: Annotated[Text, Field(min_length=1), AfterValidator(printable)] | None = None
    id: Text | None = None
    working_dir: Text | None = None
    job: JobKeys = JobKeys()
    jobs: Annotated[list[EntryKeys], Field(min_length=1)] | None = None
    matrix: Axes = Field(default_factory=dict)
    zip: Axes = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        both = sorted(set(self.matrix) & set(self.zip))
        if both:
            raise ValueError(f"zip: {both[0]} is also in matrix; delete one of them")
        if len({len(values) for values in self.zip.values()}) > 1:
            lengths = ", ".join(f"{name} has {len(values)}" for name, values in self.zip.items())
            raise ValueError(f"zip: all lists must have the same length: {lengths}")
        return self
