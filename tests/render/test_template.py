"""The user's templates: they extend packaged ones, and a message about an error names the template."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler import ConfigError, Job, JobError, JobType, Resources, Site
from scheduler.render.bundle import render


def site(**more: str) -> Site:
    values = {"transport": "ssh", "host": "ifarm", "scheduler": "slurm", "work_dir": "/w", **more}
    return Site.from_mapping(values, name="ifarm")


def jobs(folder: Path, count: int = 1, template: Path | None = None) -> list[Job]:
    (folder / "x.sh").write_text("echo\n")
    return [Job(f"b{n}", JobType.SCRIPT, script_path=folder / "x.sh", template=template) for n in range(count)]


def script(folder: Path, text: str, *, count: int = 1, name: str = "own.sh.j2", by: str = "job", **more: str) -> str:
    """The script that is submitted if the job or the site has a template of this text."""
    path = folder / name
    path.write_text(text)
    of_site = {"template": str(path)} if by == "site" else {}
    bundle = render(jobs(folder, count, path if by == "job" else None), site(**of_site, **more))
    content = bundle.files[bundle.batches[0].script]
    assert isinstance(content, bytes)
    return content.decode()


@pytest.mark.parametrize("by", ["job", "site"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("base", ["base.sh.j2", "slurm.sh.j2"])
def test_a_template_that_extends_a_packaged_one_is_used(tmp_path: Path, by: str, count: int, base: str) -> None:
    text = script(
        tmp_path,
        '{% extends "' + base + '" %}\n{% block directives %}\n{{ super() }}\n#SBATCH --comment mine\n{% endblock %}\n',
        by=by,
        count=count,
    )
    assert "\n#SBATCH --comment mine\n" in text
    assert text.startswith("#!/bin/bash\n")


def test_the_jobs_template_has_precedence_over_the_sites(tmp_path: Path) -> None:
    (tmp_path / "site.j2").write_text('{% extends "slurm.sh.j2" %}{% block prologue %}echo site{% endblock %}')
    text = '{% extends "slurm.sh.j2" %}{% block prologue %}echo job{% endblock %}'
    written = script(tmp_path, text, template=str(tmp_path / "site.j2"))
    assert "echo job" in written
    assert "echo site" not in written


def test_a_template_may_have_the_name_of_the_one_that_it_extends(tmp_path: Path) -> None:
    text = '{% extends "slurm.sh.j2" %}{% block prologue %}echo mine{% endblock %}'
    assert "echo mine" in script(tmp_path, text, name="slurm.sh.j2")


def test_a_template_may_include_another_beside_it(tmp_path: Path) -> None:
    (tmp_path / "greeting.j2").write_text("echo {{ job_id | quote }}")
    text = '{% extends "slurm.sh.j2" %}{% block prologue %}{% include "greeting.j2" %}{% endblock %}'
    assert "echo b0" in script(tmp_path, text)


def test_a_template_sees_the_job_and_its_params(tmp_path: Path) -> None:
    path = tmp_path / "own.j2"
    path.write_text('{% extends "slurm.sh.j2" %}{% block prologue %}echo {{ params.z | quote }}{% endblock %}')
    (tmp_path / "x.sh").write_text("")
    job = Job("b0", JobType.SCRIPT, script_path=tmp_path / "x.sh", params={"z": "it's"}, template=path)
    content = render([job], site()).files["0/script.sh"]
    assert isinstance(content, bytes)
    assert b"echo 'it'\\''s'" in content


def test_a_template_sees_the_fields_of_a_job_as_plain_values_and_items_before_methods(tmp_path: Path) -> None:
    path = tmp_path / "own.j2"
    path.write_text(
        '{% extends "slurm.sh.j2" %}{% block prologue %}{{ job.resources.cpus }} {{ job.resources["memory"] }} '
        "{{ job.resources.walltime }} {{ params.items }} {{ job.params['items'] }} {{ job.env_vars.A }} "
        "{{ job.job_type }} {{ job.output_files | join }} {{ job.retry }} {{ job.input_files | length }}{% endblock %}"
    )
    (tmp_path / "x.sh").write_text("")
    job = Job(
        "b0", JobType.SCRIPT, script_path=tmp_path / "x.sh", params={"items": 5}, env_vars={"A": "1"}, template=path,
        output_files=["*.root"], input_files=[tmp_path / "x.sh"],
        resources=Resources(cpus=2, memory="2GB", walltime="1h"),
    )  # fmt: skip
    content = render([job], site()).files["0/script.sh"]
    assert isinstance(content, bytes)
    assert b"2 2048M 01:00:00 5 5 1 script *.root None 1" in content, content


def test_a_template_cannot_call_a_function_or_reach_an_object_of_a_job(tmp_path: Path) -> None:
    called = []
    (tmp_path / "own.j2").write_text(
        '{% extends "slurm.sh.j2" %}{% block prologue %}{{ job.function() }}{{ params.f }}{% endblock %}'
    )
    job = Job("b0", function=lambda f: called.append(f), params={"f": 1}, template=tmp_path / "own.j2")
    with pytest.raises(ConfigError, match=r"own\.j2, line 1, job 'b0': it calls something"):
        render([job], site())
    assert called == []


def test_an_error_names_the_line_in_the_users_template(tmp_path: Path) -> None:
    text = '{% extends "slurm.sh.j2" %}\n{% block prologue %}\n\n{{ "x" * 10 ** 10 }}\n{% endblock %}'
    with pytest.raises(ConfigError, match=r"own\.sh\.j2, line 4, job 'b0': it makes more than .* make less"):
        script(tmp_path, text)


def test_an_include_reads_no_link_out_of_the_folder_and_not_itself_for_ever(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("password")
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "link").symlink_to(secret)
    (folder / "zero").symlink_to("/dev/zero")
    own = '{% extends "slurm.sh.j2" %}{% block prologue %}{% include "@" %}{% endblock %}'
    refused = {"link": "outside its folder", "zero": "does not exist", "../secret": "does not exist"}
    for name, words in {**refused, "own.sh.j2": "contain itself"}.items():
        with pytest.raises(ConfigError, match=words):
            script(folder, own.replace("@", name))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{% extends "slurm.sh.j2" %}{% block prologue %}{{ nothing }}{% endblock %}', "'nothing' is undefined"),
        ('{% extends "slurm.sh.j2" %}{% block prologue %}{{ job.nothing }}{% endblock %}', "no attribute 'nothing'"),
        ('{% extends "slurm.sh.j2" %}{% block prologue %}{{ 1 + "a" }}{% endblock %}', "unsupported operand"),
        ('{% extends "slurm.sh.j2" %}{% block prologue %}{{ 1 / 0 }}{% endblock %}', "division by zero"),
        ('{% extends "slurm.sh.j2" %}{% block prologue %}{{ params["x"] }}{% endblock %}', "no attribute 'x'"),
        ('{% extends "nosuch.sh.j2" %}', "extends or includes nosuch.sh.j2"),
        ('{% extends "slurm.sh.j2" %}\n{% block prologue %}', "line 2: Unexpected end of template"),
        ('{% extends "slurm.sh.j2" %}{% block prologue %}{{ 1 | nosuch }}{% endblock %}', "No filter named 'nosuch'"),
        ("{% if %}", "line 1: Expected an expression"),
        ("#!/bin/bash\necho hello\n", "does not extend a packaged template"),
    ],
)
def test_an_error_in_a_template_is_reported_with_its_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        script(tmp_path, text)
    assert str(tmp_path / "own.sh.j2") in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize("count", [1, 3])
def test_a_template_that_does_not_extend_a_packaged_one_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(ConfigError, match="does not extend a packaged template"):
        script(tmp_path, "#!/bin/bash\n{{ directives }}\necho hello\n", count=count)


def test_a_sites_template_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"template /no/such\.j2 does not exist"):
        render(jobs(tmp_path), site(template="/no/such.j2"))


def test_a_value_that_no_shell_can_hold_is_an_error_of_the_job_not_of_the_template(tmp_path: Path) -> None:
    text = '{% extends "slurm.sh.j2" %}{% block prologue %}{{ "\\0" | quote }}{% endblock %}'
    with pytest.raises(JobError, match="NUL"):
        script(tmp_path, text)


def test_a_changed_template_is_reloaded(tmp_path: Path) -> None:
    text = '{% extends "slurm.sh.j2" %}{% block prologue %}echo %s{% endblock %}'
    assert "echo one" in script(tmp_path, text.replace("%s", "one"))
    assert "echo another" in script(tmp_path, text.replace("%s", "another"))
