"""Objects, arrays, classes and decorated functions of a module that were changed since it was imported are never
replaced by those of the file without a word; what a module changes itself is left to it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler.errors import JobError

from .conftest import Make
from .node import Node, pack_function

CONSTANTS = """
import argparse, collections, dataclasses, datetime, enum, functools, math, os, types
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
class Mode(enum.Enum):
    FAST = 1
    SLOW = 2
@dataclasses.dataclass
class Config:
    events: int = 100
    tags: list = dataclasses.field(default_factory=list)
class Settings:
    def __init__(self, events, name="n"):
        self.events = events
        self.name = name
        self.calls = 0
    def call(self):
        self.calls += 1
class Beam:
    energy = 18.0
    folder = Path("/beam")
    class Inner:
        n = 5
    @property
    def p(self):
        return 1
    @staticmethod
    def s():
        return 2
class Sub(Beam):
    pass
MODE = Mode.FAST
CONFIG = Config(events=3)
SETTINGS = Settings(100)
NAMES = types.SimpleNamespace(events=100)
ARGS = argparse.Namespace(events=100)
DATA = Path("/data") / "run"
THIRD = Fraction(1, 3)
PRICE = Decimal("1.5")
DAY = datetime.date(2026, 1, 1)
Point = collections.namedtuple("Point", "x y")
POINT = Point(1, 2)
COUNTS = collections.Counter("aab")
QUEUE = collections.deque([1])
FROZEN = frozenset({1, 2})
RANGE = range(10)
NUMBER = int("100")
TAU = 2 * math.pi
FROM_ENVIRONMENT = int(os.environ.get("SCHEDULER_TEST_NOT_SET", "100"))
if os.name == "posix":
    CHOSEN = 100
else:
    CHOSEN = 50
try:
    TRIED = 100
except ValueError:
    TRIED = 0
half = functools.partial(pow, 2)
same = lambda x: x
@functools.lru_cache(maxsize=None)
def cached(x):
    return x
def scale(x, by=1):
    return x * by
"""
CHANGES = {
    "c.MODE = c.Mode.SLOW": "str(c.MODE)",
    "c.CONFIG.events = 500": "c.CONFIG.events",
    "c.CONFIG = c.Config(7)": "c.CONFIG.events",
    "c.CONFIG.tags.append('x')": "c.CONFIG.tags",
    "c.SETTINGS.events = 500": "c.SETTINGS.events",
    "c.SETTINGS.name = 'other'": "c.SETTINGS.name",
    "c.NAMES.events = 500": "c.NAMES.events",
    "c.ARGS.events = 500": "c.ARGS.events",
    "c.DATA = c.Path('/other')": "str(c.DATA)",
    "c.DATA = '/other'": "str(c.DATA)",
    "c.THIRD = c.Fraction(1, 4)": "str(c.THIRD)",
    "c.PRICE = c.Decimal(2)": "str(c.PRICE)",
    "c.DAY = c.datetime.date(2025, 1, 1)": "str(c.DAY)",
    "c.POINT = c.Point(3, 4)": "c.POINT.x",
    "c.COUNTS['z'] += 1": "len(c.COUNTS)",
    "c.QUEUE.append(2)": "len(c.QUEUE)",
    "c.FROZEN = frozenset({9})": "len(c.FROZEN)",
    "c.RANGE = range(5)": "len(c.RANGE)",
    "c.NUMBER = 500": "c.NUMBER",
    "c.TAU = 3": "c.TAU",
    "c.FROM_ENVIRONMENT = 500": "c.FROM_ENVIRONMENT",
    "c.CHOSEN = 500": "c.CHOSEN",
    "c.TRIED = 500": "c.TRIED",
    "c.half = c.functools.partial(pow, 3)": "c.half(2)",
    "c.same = lambda x: 77": "c.same(1)",
    "c.cached = lambda x: 77": "c.cached(1)",
    "c.scale.__defaults__ = (5,)": "c.scale(2)",
    "c.Beam.folder = c.Path('/x')": "str(c.Beam.folder)",
    "c.Beam.p = property(lambda self: 77)": "c.Beam().p",
    "c.Beam.s = staticmethod(lambda: 77)": "c.Beam.s()",
    "c.Beam.Inner.n = 77": "c.Beam.Inner.n",
    "c.Beam.energy = 77.0": "c.Sub().energy",
    "c.Sub.energy = 77.0": "c.Sub().energy",
    "c.Sub.p = lambda self: 77": "c.Sub().p()",
    "edit('events=100', 'events=900')": "c.NAMES.events",
    "edit('int(\"100\")', 'int(\"900\")')": "c.NUMBER",
    "edit('by=1', 'by=900')": "c.scale(2)",
    "edit('lambda x: x', 'lambda x: 900')": "c.same(1)",
    "edit('return 1', 'return 900')": "c.Beam().p",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_job_sees_the_changed_object_or_is_refused(change: str, make: Make, node: Node) -> None:
    files = {"held.py": CONSTANTS, "job.py": f"import held as c\ndef f():\n    return {CHANGES[change]}\n"}
    job: Any = make("job", files)
    file = Path(job.c.__file__)

    def edit(old: str, new: str) -> None:
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    exec(change, {"c": job.c, "edit": edit, "__name__": "__main__"})
    try:
        packed = pack_function(job.f, {}, job_id="j")
    except JobError as error:
        assert "held" in str(error)
        assert any(word in str(error) for word in ("change the file", "start Python again"))
        return
    assert node.run(packed).result == {"result": job.f()}


def test_a_changed_array_is_refused(make: Make) -> None:
    numpy = pytest.importorskip("numpy")
    files = {"held.py": "import numpy as np\nA = np.array([1.0, 2.0])\nZ = np.zeros((2, 3))\n"}
    job: Any = make("job", {**files, "job.py": "import held\ndef f():\n    return [float(held.A[0]), held.Z.size]\n"})
    pack_function(job.f, {}, job_id="j")
    job.held.A[0] = 5
    with pytest.raises(JobError, match=r"held\.A, a ndarray, was changed after its module was imported"):
        pack_function(job.f, {}, job_id="j")
    job.held.A[0] = 1
    job.held.Z = numpy.zeros((3, 2))
    with pytest.raises(JobError, match=r"held\.Z, a ndarray"):
        pack_function(job.f, {}, job_id="j")


INNOCENT = """
import abc, collections, contextlib, dataclasses, enum, functools, os, types, typing
from plain_tools import keeps, loses, register, REGISTRY
class Auto(enum.Enum):
    A = enum.auto()
    B = "b"
    def label(self): return self.name
class Level(enum.IntEnum):
    LOW = 1
@dataclasses.dataclass(frozen=True)
class Frozen:
    n: int = 1
    m: typing.List[int] = dataclasses.field(default_factory=lambda: [1])
@dataclasses.dataclass
class Post:
    n: int = 1
    def __post_init__(self):
        self.n = self.n * 10
class Base(abc.ABC):
    registry = {}
    count = 0
    def __init_subclass__(cls, **more):
        Base.registry[cls.__name__] = cls
    @abc.abstractmethod
    def run(self): ...
class Impl(Base):
    __slots__ = ("a",)
    def __init__(self, a=None):
        self.a = a if a else []
    @property
    def size(self): return len(self.a)
    @size.setter
    def size(self, n): self.a = [0] * n
    @classmethod
    def make(cls, *args): return cls(list(args))
    @functools.cached_property
    def never(self): return 1
    def run(self): return 1
class Lazy:
    def __init__(self):
        self.value = None
        self.calls = 0
        self.options = {}
        self.options.update(a=1)
    def get(self):
        if self.value is None:
            self.value = object()
        self.calls += 1
        return self.calls
class Meta(type):
    def __call__(cls, *a): return super().__call__(*a)
class WithMeta(metaclass=Meta):
    def __init__(self, x=1): self.x = x + 1
LAZY = Lazy()
POST = Post(n=2)
FROZEN = Frozen()
META = WithMeta(5)
IMPL = Impl.make(1, 2)
CONFIG = types.SimpleNamespace(a=1)
CONFIG.a = 2
QUEUE = collections.deque(maxlen=5)
COUNTS = collections.Counter()
COUNTS.update("abc")
GROUPS = collections.defaultdict(list)
for key in "ab":
    GROUPS[key].append(1)
ORDER = collections.OrderedDict(a=1)
ORDER["b"] = 2
SELF = {}
SELF["me"] = SELF
LEVEL = Level.LOW
HERE = os.path.dirname(__file__)
if hasattr(os, "fork"):
    SYSTEM = "posix"
else:
    SYSTEM = None
@keeps
def kept(x, y=(1, 2)): return x
@loses
def lost(x): return x
@register("name")
def registered(x): return x
@functools.singledispatch
def show(x): return "any"
@show.register(int)
def _(x): return "int"
@contextlib.contextmanager
def inside(): yield 3
@functools.lru_cache(maxsize=10)
def cached(x): return x
first = second = lambda x: x
Lazy.extra = lambda self: 5
typed: "int" = 5
def use():
    with inside() as three:
        QUEUE.append(three)
        return [LAZY.get() > 0, LAZY.extra(), POST.n, FROZEN.m, META.x, IMPL.size, CONFIG.a, len(COUNTS), len(GROUPS),
                len(ORDER), SELF["me"] is SELF, int(LEVEL), bool(HERE), SYSTEM, kept(1), lost(2), registered(3),
                show(1), cached(4), first(5), typed, Auto.A.label(), sorted(Base.registry),
                sorted(REGISTRY), Impl().run()]
"""
TOOLS = """
import functools
REGISTRY = {}
def keeps(f):
    @functools.wraps(f)
    def inner(*args): return f(*args)
    return inner
def loses(f):
    def inner(*args): return f(*args)
    return inner
def register(name):
    def take(f):
        REGISTRY[name] = f
        return f
    return take
"""


def test_what_a_module_makes_or_changes_itself_is_neither_refused_nor_sent(make: Make, node: Node) -> None:
    module: Any = make("innocent", {"innocent.py": INNOCENT, "plain_tools.py": TOOLS})
    here = module.use()
    module.use()
    packed = pack_function(module.use, {}, job_id="j")
    there = node.run(packed)
    assert there.exit_code == 0, there.stderr
    assert there.result == {"result": here}
    assert "plain_tools" in sys.modules
