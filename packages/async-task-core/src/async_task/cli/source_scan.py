"""Reading a module's source before anything of it runs: tasks it defines, work it would start.

Only what runs on import counts: bodies of functions and of an `if __name__ == "__main__"` do not,
except those of the module's own functions that are called on import.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DISPATCHING = frozenset({"dispatch", "dispatch_many", "dispatch_sync"})
_LOOPING = frozenset({"run_until_complete", "run_forever"})
_RUNNERS = frozenset(
    {"asyncio.Runner"}
    | {f"{module}.run" for module in ("asyncio", "anyio", "trio", "uvicorn", "uvloop")}
)
_MAKERS = frozenset({"task", "Task", "SyncTask"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Scan:
    """What the source of one module says.

    Attributes:
        tasks: Whether it defines tasks by means of `async_task`.
        obstacle: Why it must not be imported, if so: what it would do, and where.
    """

    tasks: bool
    obstacle: str | None = None


def scan(path: Path) -> Scan:
    """Read a file; one that is no Python and does not mention `async_task` defines no tasks."""
    try:
        source = path.read_bytes()
    except OSError as exc:
        return Scan(tasks=True, obstacle=f"it cannot be read: {exc.strerror}")
    if b"async_task" not in source:
        return Scan(tasks=False)
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source)
    except SyntaxError as exc:
        place = f"line {exc.lineno}" if exc.lineno else "it"
        return Scan(tasks=True, obstacle=f"{place} is no valid Python: {exc.msg}")
    except ValueError as exc:
        return Scan(tasks=True, obstacle=f"it is no valid Python: {exc}")
    module = _Module(tree)
    return Scan(module.defines_tasks(), module.starts(tree.body))


class _Module:
    """The names of one module, as far as source tells them."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._functions = {n.name: n for n in tree.body if isinstance(n, _FUNCTIONS)}
        self._names: dict[str, str] = {}
        for node in _running(tree.body):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    whole, top = alias.name, alias.name.partition(".")[0]
                    self._names[alias.asname or top] = whole if alias.asname else top
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for alias in node.names:
                    self._names[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def defines_tasks(self) -> bool:
        """Tell whether anything is decorated with `task` or derives from a task class."""
        for node in _running(self._tree.body):
            uses: list[ast.expr] = []
            if isinstance(node, _FUNCTIONS):
                uses = node.decorator_list
            elif isinstance(node, ast.ClassDef):
                uses = node.bases
            elif isinstance(node, ast.Call):
                uses = [node.func]
            for use in uses:
                root, _, rest = self._dotted(use).partition(".")
                if root == "async_task" and rest.rpartition(".")[2] in _MAKERS:
                    return True
        return False

    def starts(self, body: list[ast.stmt], seen: frozenset[str] = frozenset()) -> str | None:
        """Say what running these statements would dispatch or start, and where."""
        for node in _running(body):
            if not isinstance(node, ast.Call):
                continue
            called = self._dotted(node.func)
            last = called.rpartition(".")[2]
            is_worker = last == "start" and "worker" in called.lower()
            if is_worker or called in _RUNNERS or last in _LOOPING:
                return f"line {node.lineno} starts to work ({called})"
            if last in _DISPATCHING:
                return f"line {node.lineno} dispatches ({called})"
            function = self._functions.get(called)
            if function is None or called in seen:
                continue
            if found := self.starts(function.body, seen | {called}):
                return f"line {node.lineno} calls {called}(), whose {found}"
        return None

    def _dotted(self, node: ast.expr) -> str:
        """Return what an expression names, through calls and subscripts, imports resolved."""
        if isinstance(node, ast.Call):
            return self._dotted(node.func)
        if isinstance(node, ast.Subscript):
            return self._dotted(node.value)
        if isinstance(node, ast.Attribute):
            return f"{self._dotted(node.value)}.{node.attr}"
        if isinstance(node, ast.Name):
            return self._names.get(node.id, node.id)
        return ""


def _running(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the nodes that run when the statements do, in order of the source."""
    for statement in body:
        yield from _running_node(statement)


def _running_node(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if isinstance(node, _FUNCTIONS):
        children: list[ast.AST] = [*node.decorator_list, node.args]
    elif isinstance(node, ast.Lambda):
        children = [node.args]
    elif isinstance(node, ast.If) and _is_main_guard(node.test):
        children = [*node.orelse]
    else:
        children = [*ast.iter_child_nodes(node)]
    for child in children:
        yield from _running_node(child)


def _is_main_guard(test: ast.expr) -> bool:
    return any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(test)) and any(
        isinstance(n, ast.Constant) and n.value == "__main__" for n in ast.walk(test)
    )
