"""Names with one underscore that a module of ours uses and does not define: some library's own."""

import ast
import inspect
from collections.abc import Iterator
from types import ModuleType


def private_names(module: ModuleType) -> frozenset[str]:
    """Those that the module reads or sets as attributes, and neither it nor one of its classes defines."""
    tree = ast.parse(inspect.getsource(module))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_private(node.attr)}
    used |= {name for node in ast.walk(tree) if isinstance(node, ast.Call) for name in _named_to_getattr(node)}
    return frozenset(used - set(_defined(tree)))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _named_to_getattr(call: ast.Call) -> Iterator[str]:
    if isinstance(call.func, ast.Name) and call.func.id in {"getattr", "setattr", "hasattr"}:
        name = call.args[1]
        if isinstance(name, ast.Constant) and isinstance(name.value, str) and _is_private(name.value):
            yield name.value


def _defined(tree: ast.Module) -> Iterator[str]:
    """Functions, classes, slots, and what an ``__init__`` sets on ``self``."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name="__init__"):
                yield from _set_on_self(node)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id="__slots__")]):
                yield from ast.literal_eval(node.value)


def _set_on_self(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name
