"""Sites: the keys of a site file, and the messages when they are wrong."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from scheduler.errors import ConfigError, JobError
from scheduler.job.resources import Resources
from scheduler.schema.yaml import read_mapping
from scheduler.site.catalog import find_site
from scheduler.site.packaged import packaged_folder
from scheduler.site.site import Site, batch_systems

MINIMAL = {"transport": "local", "scheduler": "shell", "work_dir": "/tmp/work"}
PACKAGED = sorted(path.stem for path in packaged_folder("site_configs").glob("*.yaml"))
PLACED = (
    "queue",
    "account",
    "qos",
    "constraint",
    "native",
)  # keys of the site itself, not of its defaults


def site(**values: Any) -> Site:
    return Site.from_mapping({**MINIMAL, **values}, name="test")


# The packaged files


@pytest.mark.parametrize("name", PACKAGED)
def test_every_packaged_site_is_valid_and_has_a_description(name: str) -> None:
    found = find_site(name, folders=[packaged_folder("site_configs")])
    assert found.name == name
    assert found.description
    assert found.path == packaged_folder("site_configs") / f"{name}.yaml"


def test_the_documented_sites_exist() -> None:
    known = {"local", "example", "jlab", "perlmutter", "workstation", "polaris", "aurora", "improv", "bebop"}
    assert known <= set(PACKAGED)


def keys_of(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, BaseModel)]
        if above == "defaults." and name in PLACED:
            continue
        yield above + name
        if inner:
            yield from keys_of(inner[0], f"{above}{name}.")


def test_the_example_explains_every_key() -> None:
    path = packaged_folder("site_configs") / "example.yaml"
    values, lines = read_mapping(path), path.read_text(encoding="utf-8").splitlines()
    for key in keys_of(Site):
        at: Any = values
        for part in key.split("."):
            assert part in at, f"example.yaml lacks {key}"
            at = at[part]
        indent = "  " * key.count(".")
        number = next(n for n, line in enumerate(lines) if line.startswith(f"{indent}{key.split('.')[-1]}:"))
        assert "#" in lines[number] or lines[number - 1].startswith("#"), f"{key} is not explained"


def test_the_example_has_no_key_that_does_not_exist() -> None:
    known = set(keys_of(Site))
    values = read_mapping(packaged_folder("site_configs") / "example.yaml")
    mappings = {key: value for key, value in values.items() if isinstance(value, dict) and key != "environment"}
    assert set(values) | {f"{key}.{inner}" for key, value in mappings.items() for inner in value} == known


# The values of a site


def test_a_site_needs_only_a_transport_a_batch_system_and_a_folder() -> None:
    plain = site()
    assert (plain.name, plain.path, plain.sources) == ("test", None, ())
    assert plain.python == "python3"
    assert plain.trust_pickles is False
    assert plain.resources == Resources()


def test_a_key_that_is_null_counts_as_missing() -> None:
    assert site(account=None, ssh=None, limits={"walltime": None}, python=None) == site()


def test_requested_resources_override_those_of_the_site() -> None:
    site_ = site(account="eic", queue="production", native=["--a"], defaults={"cpus": 1, "memory": "3 GB"})
    got = site_.resources_for(Resources(cpus=4, queue="priority", native=["--b"]))
    assert (got.cpus, got.memory_mib, got.account, got.queue) == (4, 3072, "eic", "priority")
    assert got.native == ("--a", "--b")


def test_a_walltime_above_the_limit_is_refused_before_anything_is_sent() -> None:
    limited = site(limits={"walltime": "72:00:00"})
    assert limited.resources_for(Resources(walltime="3 days")).walltime == timedelta(days=3)
    with pytest.raises(JobError, match=r"walltime: 4-00:00:00 is above the limit of site 'test', 3-00:00:00"):
        limited.resources_for(Resources(walltime="4 days"))


@pytest.mark.parametrize("name", PACKAGED)
def test_a_site_goes_through_json_unchanged(name: str) -> None:
    found = find_site(name, folders=[packaged_folder("site_configs")])
    again = Site.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    assert (again.name, again.path, again.sources) == (found.name, found.path, found.sources)


def test_the_batch_systems_are_the_folders_that_exist() -> None:
    assert {"shell", "slurm"} <= set(batch_systems())
    assert "base" not in batch_systems()


# Messages about wrong values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"acount": "eic"}, r"acount: no such key; did you mean 'account'\?"),
        ({"ssh": {"prot": 22}}, r"ssh\.prot: no such key; did you mean 'port'\?"),
        ({"defaults": {"wall_time": "1h"}}, r"defaults\.wall_time: no such key; did you mean 'walltime'\?"),
        ({"container": {"bind": []}}, r"container\.bind: no such key; did you mean 'binds'\?"),
        ({"name": "x"}, "name: no such key"),
        ({"defaults": {"memory": 3}}, r"defaults\.memory: must be text with a unit"),
        ({"defaults": {"cpus": 0}}, r"defaults\.cpus: must be above 0, not 0"),
        ({"defaults": {"queue": "q"}}, r"defaults\.queue: is a key of the site itself"),
        ({"defaults": [1]}, "defaults: must be a mapping of keys to values"),
        ({"limits": {"walltime": "4"}}, r"limits\.walltime: '4' has no unit"),
        (
            {"limits": {"walltime": "1h"}, "defaults": {"walltime": "2h"}},
            r"defaults\.walltime: is above limits\.walltime",
        ),
        ({"limits": {"poll_seconds": 0}}, r"limits\.poll_seconds: must be above 0"),
        ({"limits": {"poll_seconds": True}}, r"limits\.poll_seconds: must be a number"),
        ({"limits": {"running": "4"}}, r"limits\.running: must be a whole number, not '4'"),
        (
            {"transport": "carrier pigeon"},
            r"transport: no such transport: 'carrier pigeon'; known: local, openssh, ssh",
        ),
        ({"transport": "ssh"}, "host: is missing"),
        ({"host": "-oProxyCommand=x"}, "host: must be the name of a host"),
        ({"host": "me@there"}, r"host: must be the name of a host \(the user is ssh\.user\)"),
        ({"ssh": {"user": "-l"}}, r"ssh\.user: must be the name of a user"),
        ({"ssh": {"port": 70000}}, r"ssh\.port: must be 65535 or less"),
        ({"ssh": {"proxy_jump": "a b"}}, r"ssh\.proxy_jump: must be \[user@\]host"),
        ({"scheduler": "slrum"}, r"scheduler: no such batch system: 'slrum'; did you mean 'slurm'\?"),
        ({"scheduler": "../slurm"}, "scheduler: no such batch system"),
        ({"scheduler": "base"}, "scheduler: no such batch system"),
        ({"work_dir": "work"}, "work_dir: must begin with '/'"),
        ({"work_dir": "/a/../b"}, r"work_dir: .*not contain '\.\.'"),
        ({"work_dir": "/a/$(id)"}, r"work_dir: a '\$' in a path must begin \$NAME"),
        ({"work_dir": "/a\n"}, "work_dir: a path must not contain control characters"),
        (
            {"container": {"runtime": "docker"}},
            r"container\.runtime: must be one of 'apptainer' or 'singularity'",
        ),
        ({"container": {"binds": ["/a,/b"]}}, r"container\.binds\[0\]: must be one bind"),
        ({"container": {"binds": ["--x"]}}, r"container\.binds\[0\]: must begin with '/'"),
        ({"container": {"options": ["image.sif"]}}, r"container\.options: must begin with an option"),
        ({"container": {"options": ["--a\x1b"]}}, r"container\.options\[0\]: must be one line"),
        ({"modules": ["-f"]}, r"modules\[0\]: must be the name of a module"),
        ({"modules": "gcc"}, "modules: must be a list"),
        ({"python": ""}, "python: must be a command"),
        ({"python": "-c"}, "python: must be a command"),
        ({"environment": {"A-B": "x"}}, "environment: 'A-B' is not a valid name of a variable"),
        ({"environment": {"JOB_ID": "x"}}, "environment: 'JOB_ID' is not a valid name of a variable, or is reserved"),
        ({"environment": {"A": True}}, "environment: A must be text or a number without a NUL, not a bool"),
        ({"environment": {"A": "\0"}}, "environment: A must be text"),
        ({"prologue": "a\0b"}, "prologue: must be lines of shell text"),
        ({"native": ["--x\n#SBATCH --uid=0"]}, r"native\[0\]: must be one line"),
        ({"memory_style": "per node"}, "memory_style: must be one of 'per_node', 'per_cpu' or 'omit'"),
        ({"trust_pickles": "yes"}, "trust_pickles: must be true or false, not 'yes'"),
        ({"description": "\x1b[2J"}, "description: must be one line"),
    ],
)
def test_a_wrong_site_names_the_key_and_what_is_allowed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        site(**values)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="site 'bare': work_dir: is missing"):
        Site.from_mapping({"transport": "local", "scheduler": "shell"}, name="bare")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_wrong_value_at_any_key_is_a_config_error(value: Any) -> None:
    for key in (*Site.model_fields, "nonsense"):
        try:
            Site.from_mapping({**MINIMAL, key: value}, name="test").to_json()
        except ConfigError:
            continue
