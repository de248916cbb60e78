"""Puts the charges of a budget into the syntax tree of a template, where Jinja itself calls no function."""

# ruff: noqa: N802  (Jinja calls visit_<name of the class>)
from __future__ import annotations

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

CONCATENATE, LOOP, COMPARE, MADE, STEPS = "made by ~", "in a loop", "in a comparison", "made by [ ]", "steps of"
"""Names of filters. They contain a blank, so no template can write them with ``|``."""
FILTERS = frozenset((CONCATENATE, LOOP, COMPARE, MADE, STEPS))


class Meter(NodeTransformer):
    """Every loop, comparison, concatenation, slice and literal passes a filter that charges it."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        """The values of a loop, and each of its passes."""
        self.generic_visit(node)
        node.iter = _through(LOOP, node.iter, 1 + _nodes_in(node.test))
        node.body.insert(0, _steps(node))
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        """Each call of a macro."""
        return self._charged_body(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        """Each call of a call block."""
        return self._charged_body(node)

    def visit_Block(self, node: nodes.Block) -> nodes.Node:
        """Each use of a block. A required one must stay empty."""
        return self.generic_visit(node) if node.required else self._charged_body(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """``a ~ b``."""
        self.generic_visit(node)
        return _through(CONCATENATE, node.nodes[0], *node.nodes[1:])

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        """``a == b``, ``a in b``: both sides are looked at as a whole."""
        self.generic_visit(node)
        node.expr = _through(COMPARE, node.expr)
        for operand in node.ops:
            operand.expr = _through(COMPARE, operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        """``a[1:]`` makes a new value; ``a[key]`` does not."""
        self.generic_visit(node)
        return _through(MADE, node) if isinstance(node.arg, nodes.Slice) else node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        """``[a, b]``."""
        self.generic_visit(node)
        return _through(MADE, node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        """``a, b``, unless it is the target of an assignment."""
        self.generic_visit(node)
        return _through(MADE, node) if node.ctx == "load" else node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        """``{a: b}``; each key is hashed as a whole."""
        self.generic_visit(node)
        for pair in node.items:
            pair.key = _through(COMPARE, pair.key)
        return _through(MADE, node)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        """``f(*values)`` makes a value of each."""
        return self._charged_stars(node)

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        """``x | f(*values)``, likewise."""
        return self._charged_stars(node)

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        """``x is f(*values)``, likewise."""
        return self._charged_stars(node)

    def _charged_stars(self, node: nodes.Call | nodes.Filter | nodes.Test) -> nodes.Node:
        self.generic_visit(node)
        if node.dyn_args is not None:
            node.dyn_args = _through(LOOP, node.dyn_args, 1)
        return node

    def _charged_body(self, node: nodes.Macro | nodes.CallBlock | nodes.Block) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, _steps(node))
        return node


def _through(name: str, node: nodes.Node, *more: nodes.Expr | int) -> nodes.Filter:
    args = [nodes.Const(value) if isinstance(value, int) else value for value in more]
    return nodes.Filter(node, name, args, [], None, None, lineno=node.lineno)


def _steps(node: nodes.Node) -> nodes.Output:
    return nodes.Output([_through(STEPS, nodes.Const(_nodes_in(node), lineno=node.lineno))], lineno=node.lineno)


def _nodes_in(node: nodes.Node | None) -> int:
    return 0 if node is None else 1 + sum(1 for _ in node.find_all(nodes.Node))
