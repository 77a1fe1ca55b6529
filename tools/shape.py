"""Fail when a module or a function outgrows its measure. Run by `make lint`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE_LINES, FUNCTION_LINES, PARAMETERS = 400, 50, 6
RECORDS = "migrations/versions"
"""Migrations are a record of what was run, one function each; they are never edited again."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _body_lines(node: Function) -> int:
    docstring = ast.get_docstring(node, clean=False) or ""
    return (node.end_lineno or node.lineno) - node.lineno + 1 - len(docstring.splitlines())


def _parameters(node: Function) -> int:
    named = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")])


def faults(path: Path) -> Iterator[str]:
    """One line per measure that `path` exceeds."""
    source = path.read_text(encoding="utf-8")
    if (lines := source.count("\n")) > MODULE_LINES:
        yield f"{path}: {lines} lines (at most {MODULE_LINES})"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, Function):
            continue
        if (length := _body_lines(node)) > FUNCTION_LINES:
            yield f"{path}:{node.lineno} {node.name}: {length} lines (at most {FUNCTION_LINES})"
        if (count := _parameters(node)) > PARAMETERS:
            yield f"{path}:{node.lineno} {node.name}: {count} parameters (at most {PARAMETERS}); make them a record"


def sources(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*.py")) if RECORDS not in path.as_posix()]


if __name__ == "__main__":
    found = [fault for root in sys.argv[1:] for path in sources(Path(root)) for fault in faults(path)]
    print(*found, sep="\n")
    sys.exit(bool(found))
