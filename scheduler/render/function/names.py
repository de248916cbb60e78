"""Which names a statement binds and uses, and whether it is a definition. Syntax only, no values."""

from __future__ import annotations
import __future__

import ast
import dis
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

_READS = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL"}
_SAME_EVERYWHERE = {"TYPE_CHECKING", "typing.TYPE_CHECKING", "sys.version_info", "sys.platform", "os.name"}


@dataclass(frozen=True)
class Uses:
    """The global names that a statement uses.

    Attributes:
        early: when the statement runs.
        late: when a function that it defines is called.
    """

    early: frozenset[str]
    late: frozenset[str]


def bound_by(statement: ast.stmt) -> set[str]:
    """The global names that a top-level statement sets or deletes."""
    binder = _Binder()
    binder.visit(statement)
    return binder.names


def used_by(statement: ast.stmt, *, lazy_annotations: bool) -> Uses:
    """The global names that a top-level statement needs.

    Args:
        statement: of a module.
        lazy_annotations: whether the module has ``from __future__ import annotations``.
    """
    flags = __future__.annotations.compiler_flag if lazy_annotations else 0
    module = ast.Module([statement], [])
    code = compile(module, "<statement>", "exec", flags=flags, dont_inherit=True)
    codes = list(_codes(code))
    late = {name for inner in codes if _is_function(inner) for name in _read_by(inner)}
    early = {name for inner in codes if not _is_function(inner) for name in _read_by(inner)}
    return Uses(frozenset(early), frozenset(late))


def changed_from_outside(statements: list[ast.stmt]) -> set[str]:
    """Names whose attributes or items are set somewhere: `Config.events = 5`."""
    nodes = [node for statement in statements for node in ast.walk(statement)]
    parts = [node for node in nodes if isinstance(node, (ast.Attribute, ast.Subscript))]
    return {root_of(node) for node in parts if not isinstance(node.ctx, ast.Load)}


def root_of(node: ast.expr) -> str:
    """`a` of `a.b[0].c`; empty if the expression does not begin with a name."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def is_definition(statement: ast.stmt) -> bool:
    """Whether a statement is an import, a function or a class, or chooses between them by the version of Python or
    the operating system only."""
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    if isinstance(statement, ast.If):
        branches = [*statement.body, *statement.orelse]
        return _depends_on_machine(statement.test) and all(map(_defines_or_nothing, branches))
    if isinstance(statement, ast.Try):
        return any(isinstance(inner, (ast.Import, ast.ImportFrom)) for inner in statement.body)
    return False


def is_assignment(statement: ast.stmt) -> bool:
    return isinstance(statement, (ast.Assign, ast.AnnAssign)) or type(statement).__name__ == "TypeAlias"


def first_line(statement: ast.stmt) -> int:
    """The number of its first line, from 1. Decorators count, as in a code object."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min(statement.lineno, *(decorator.lineno for decorator in decorators), statement.lineno)


def _depends_on_machine(test: ast.expr) -> bool:
    if isinstance(test, ast.Compare):
        return _depends_on_machine(test.left) and all(isinstance(_bare(c), ast.Constant) for c in test.comparators)
    return ast.unparse(_bare(test)) in _SAME_EVERYWHERE


def _bare(node: ast.expr) -> ast.expr:
    """`node` without `not`, index and tuple: for tests such as `sys.version_info[:2] >= (3, 11)`."""
    if isinstance(node, ast.UnaryOp):
        return _bare(node.operand)
    if isinstance(node, ast.Subscript):
        return _bare(node.value)
    if isinstance(node, ast.Tuple) and node.elts:
        return next((item for item in node.elts if not isinstance(item, ast.Constant)), node.elts[0])
    return node


def _defines_or_nothing(statement: ast.stmt) -> bool:
    return is_definition(statement) or isinstance(statement, ast.Pass)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _is_function(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_OPTIMIZED)


def _read_by(code: CodeType) -> Iterator[str]:
    return (step.argval for step in dis.get_instructions(code) if step.opname in _READS)


class _Binder(ast.NodeVisitor):
    """Collects the names that are bound in the outermost scope."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self.names.add(node.name)

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # noqa: N815 - as ast calls them

    def visit_inner(self, node: ast.AST) -> None:
        """A scope of its own: nothing in it is bound outside."""

    visit_Lambda = visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_inner  # noqa: N815

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.names.add(node.id)

    def visit_alias(self, node: ast.alias) -> None:
        self.names.add((node.asname or node.name).partition(".")[0])

    def visit_named(self, node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar) -> None:
        if node.name:
            self.names.add(node.name)
        self.generic_visit(node)

    visit_ExceptHandler = visit_MatchAs = visit_MatchStar = visit_named  # noqa: N815
