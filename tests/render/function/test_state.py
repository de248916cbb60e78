"""A state that every job would get a copy of is refused, or made anew on the node."""

from __future__ import annotations

import itertools
import random
from functools import partial
from typing import Any

import pytest

from scheduler.errors import JobError
from scheduler.render.function.pack import Packer

from .conftest import Make
from .node import Node, pack_function
from .test_scripts import ScriptFolder, result_of

REMEDY = "give each job a seed in params, and make the generator in the function"

MADE = {
    "rng = random.Random(7)": ("rng", "a random number generator"),
    "rng = np.random.default_rng(7)": ("rng", "a random number generator"),
    "rng = np.random.RandomState(7)": ("rng", "a random number generator"),
    "rng = np.random.SeedSequence(7)": ("rng", "a random number generator"),
    "rng = {'a': [random.Random(1)]}": ("rng['a'][0]", "a random number generator"),
    "rng = Sampler()": ("rng.own", "a random number generator"),
    "rng = functools.partial(random.Random(1).gauss, 0)": ("Random", "a random number generator"),
    "rng = itertools.count()": ("rng", "an iterator"),
    "rng = iter([1, 2, 3])": ("rng", "an iterator"),
    "rng = open(__file__)": ("rng", "an open file"),
}
SCRIPT = """
import functools, itertools, random
try:
    import numpy as np
except ImportError:
    pass
class Sampler:
    def __init__(self):
        self.own = random.Random(1)
{0}
def f():
    return str(rng)
try:
    from packing_for_tests import pack
    pack(f)
except Exception as error:
    print(error)
"""


@pytest.fixture
def scripts(tmp_path: Any) -> ScriptFolder:
    (tmp_path / "my analysis").mkdir()
    return ScriptFolder(tmp_path / "my analysis")


@pytest.mark.parametrize("made", MADE)
def test_a_state_of_the_script_is_refused_with_the_name_of_its_variable(
    made: str, scripts: ScriptFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    if "np." in made:
        pytest.importorskip("numpy")
    scripts.write({"scan.py": SCRIPT.format(made)})
    with pytest.raises(FileNotFoundError):  # nothing was packed
        scripts.run("scan.py")
    name, kind = MADE[made]
    message = capfd.readouterr().out
    assert f"job 'j': f uses {name}, {kind}: every job would get a copy of it" in message
    assert (REMEDY if kind == "a random number generator" else "make or open it in the function") in message


def test_a_generator_of_numpy_without_a_seed_is_made_anew(scripts: ScriptFolder, node: Node) -> None:
    pytest.importorskip("numpy")
    text = "import numpy as np\nrng = np.random.default_rng()\nold = np.random.Generator(np.random.PCG64())\n"
    text += "def f():\n    return [rng.random(), old.random()]\nimport packing_for_tests\npacking_for_tests.pack(f)\n"
    scripts.write({"scan.py": text})
    packed = scripts.run("scan.py")
    assert packed.how == "source", packed.why
    assert result_of(node, packed) != result_of(node, packed)


GLOBAL = ("from random import gauss", "import random\ngauss = random.gauss", "from numpy.random import normal as gauss")


@pytest.mark.parametrize("imported", GLOBAL)
def test_the_global_generators_are_not_copied(imported: str, make: Make, node: Node) -> None:
    if "numpy" in imported:
        pytest.importorskip("numpy")
    gauss = vars(make("drawing", {"drawing.py": f"{imported}\n"}))["gauss"]
    packed = pack_function(lambda: gauss(0, 1), {}, job_id="j")
    first, second = (node.run(packed) for _ in range(2))
    assert first.exit_code == 0, first.stderr
    assert first.result != second.result


def test_a_captured_generator_is_refused() -> None:
    rng = random.Random(1)
    with pytest.raises(JobError, match="uses rng, a random number generator: every job would get a copy"):
        pack_function(lambda: rng.random(), {}, job_id="j")


class Sampler:
    """Draws numbers."""

    def __init__(self) -> None:
        self.own = random.Random(1)

    def draw(self, rng: object = None) -> float:
        """One number."""
        return self.own.random()


def test_a_job_may_have_a_generator_of_its_own_but_not_share_it() -> None:
    packer, rng, sampler = Packer(), random.Random(1), Sampler()
    packer.pack(Sampler().draw, {"rng": rng}, job_id="a")
    packer.pack(Sampler().draw, {"rng": random.Random(2)}, job_id="b")
    packer.pack(partial(sampler.draw, rng=itertools.count()), {}, job_id="c")
    with pytest.raises(JobError, match=r"'d': .*uses params\['rng'\], a random number generator: .*seed in params"):
        packer.pack(Sampler().draw, {"rng": rng}, job_id="d")
    with pytest.raises(JobError, match=r"'e': .*own, a random number generator"):
        packer.pack(sampler.draw, {}, job_id="e")


SEEDED = {
    "rng = random.Random(5)": "seeded.rng is a random number generator with a fixed seed",
    "random.seed(5)\nrng = random": "seeded calls random.seed(5) when it is imported (line 2)",
    "import numpy as np\nnp.random.seed(5)\nrng = np.random": "seeded calls np.random.seed(5)",
    "import numpy as np\nrng = np.random.default_rng(5)": "seeded.rng is a random number generator with a fixed seed",
    "class rng:\n    own = random.Random(5)\n    random = own.random": "seeded.rng.own is a random",
    "class Own(random.Random):\n    pass\nrng = Own(5)": "seeded.rng is a random",
    "def made(seed):\n    return random.Random(seed)\nrng = made(5)": "seeded.rng is a random",
    "def made(seed=5):\n    return random.Random(seed)\nrng = made()": "seeded.rng is a random",
    "class Own:\n    def __init__(self, seed=3):\n        self.own = random.Random(seed)\n"
    "        self.random = self.own.random\n"
    "rng = Own()": "seeded.rng has a random",
    "import types\nrng = types.SimpleNamespace(random=random.Random(5).random)": "seeded.rng has a random",
    "import functools, types\nfive = random.Random(5)\n"
    "rng = types.SimpleNamespace(random=functools.partial(five.uniform, 0, 1))": "seeded.rng has a random",
}


@pytest.mark.parametrize("made", SEEDED)
def test_a_module_with_a_fixed_seed_serves_one_job(made: str, make: Make, node: Node) -> None:
    """Its source makes the generator anew with the same seed in every job."""
    if "np" in made:
        pytest.importorskip("numpy")
    module = make("seeded", {"seeded.py": f"import random\n{made}\ndef f(n=0):\n    return rng.random()\n"})
    packer = Packer()
    assert node.run(packer.pack(module.f, {}, job_id="a")).exit_code == 0
    packer.pack(module.f, {}, job_id="a")
    with pytest.raises(JobError) as caught:
        packer.pack(module.f, {"n": 1}, job_id="b")
    assert f"job 'b': {SEEDED[made]}" in str(caught.value)
    assert f"the same random numbers as job 'a': {REMEDY}" in str(caught.value)


def test_a_seed_in_the_function_or_a_generator_without_one_serves_all_jobs(make: Make, node: Node) -> None:
    text = (
        "import random\nrng = random.Random()\nunused = random.Random(3)\n"
        "def f(seed):\n    random.seed(seed)\n"
        "    return [random.random(), random.Random(seed).random(), rng.random()]\n"
    )
    module, packer = make("fine", {"fine.py": text}), Packer()
    results = [node.run(packer.pack(module.f, {"seed": n}, job_id=f"j{n}"), {"seed": 1}).result for n in range(2)]
    assert [one["result"][:2] for one in results] == [[random.Random(1).random()] * 2] * 2
    assert results[0] != results[1]


HELD = """
import functools, random
class Own:
    def __init__(self, seed=None):
        self.own = random.Random(seed)
own, listed, drawn = Own(), [random.Random()], functools.partial(random.Random().uniform, 0, 1)
class Of:
    own = random.Random()
def f(given=random.Random()):
    return [one.random() for one in (own.own, listed[0], Of.own, given, f.own)] + [drawn()]
f.own = random.Random()
"""


def test_generators_inside_others_are_made_anew_in_each_job_unless_they_have_a_seed(make: Make, node: Node) -> None:
    module, packer = make("held", {"held.py": HELD}), Packer()
    first, second = (node.run(packer.pack(module.f, {}, job_id=name)).result["result"] for name in "ab")
    assert all(one != other for one, other in zip(first, second, strict=True))
    for number, (made, words) in enumerate(
        {
            "own = Own(3)": "own has",
            "listed = [random.Random(3)]": "listed has",
            "drawn = random.Random(3).random": "drawn has",
            "Of.own = random.Random(3)": "Of.own is",
            "f.own = random.Random(3)": "f.own is",
            "def f(given=random.Random(3)):\n    return given.random()": r"f \(a default value\) is",
        }.items()
    ):
        name = f"held{number}"
        module, packer = make(name, {f"{name}.py": f"{HELD}{made}\n"}), Packer()
        packer.pack(module.f, {}, job_id="a")
        with pytest.raises(JobError, match=f"{name}.{words} a random number generator with a fixed seed"):
            packer.pack(module.f, {}, job_id="b")
