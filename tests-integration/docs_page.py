"""Run the code of one documentation page, block by block, as a reader would.

A block of Python runs in the page's one namespace and may `await`; with a title
(```` ```python title="tasks.py" ````) it is a file instead, written to the working directory and
imported. Blocks of `bash` are scripts; in blocks of `console` the lines after `$` are commands,
and what follows them is their output, where `...` stands for anything. A worker that would run for
ever is told to stop when its queue is empty. Other languages are read, not run. A comment before a
block, `<!-- not run: reason -->`, leaves it out.

Usage: `python docs_page.py PAGE`, in an empty folder. The exit code is not 0 if a block fails.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sybil import Document, Example, Region
from sybil.evaluators.python import pad
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

INERT = {"json", "mermaid", "sql", "text", "toml", "yaml"}
ENDLESS = re.compile(r"((?:async-task|python -m async_task) worker\b)(?!.*--stop-when-empty)")
UNRUN = re.compile(r"<!-- not run: (?P<reason>.+) -->\s*\Z")
OUTPUT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

fences = RawFencedCodeBlockLexer(
    re.compile(r'(?P<language>[\w-]*)(?:[ \t]+title="(?P<title>[^"\n]+)")?[ \t]*\n')
)


@dataclass(frozen=True)
class Block:
    """One fenced block; `unrun` is the reason for leaving it out."""

    line: int
    language: str
    title: str | None
    source: str
    unrun: str | None


class Page:
    """One page, its namespace and its event loop."""

    def __init__(self, path: Path) -> None:
        self.document = Document.parse(str(path), self._regions)
        self.blocks: list[Block] = [example.parsed for example in self.document]

    def _regions(self, document: Document) -> Iterator[Region]:
        for region in fences(document):
            lexemes = region.lexemes
            unrun = UNRUN.search(document.text, 0, region.start)
            region.parsed = Block(
                document.text.count("\n", 0, region.start) + 1,
                lexemes["language"],
                lexemes["title"],
                lexemes["source"],
                unrun and unrun["reason"],
            )
            region.evaluator = self._evaluate
            yield region

    def run(self) -> None:
        """Run every block in order; the first failure names its line."""
        main = types.ModuleType("__main__")
        main.__file__ = str(Path("page.py").absolute())
        self.document.namespace = main.__dict__
        sys.modules["__main__"] = main
        sys.path[0] = os.getcwd()
        with asyncio.Runner() as self.runner:
            for example in self.document:
                try:
                    example.evaluate()
                except BaseException as error:
                    error.add_note(f"in the block at {example.path}:{example.line}")
                    raise

    def _evaluate(self, example: Example) -> None:
        block: Block = example.parsed
        if block.unrun:
            return
        if block.title:
            write(Path(block.title), block.source)
        elif block.language == "python":
            self._python(block, example)
        elif block.language == "bash":
            shell(block.source)
        elif block.language == "console":
            console(block.source)
        elif block.language not in INERT:
            raise ValueError(f"do not know what to do with a block of {block.language!r}")

    def _python(self, block: Block, example: Example) -> None:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        source = pad(block.source, block.line)
        code = compile(source, example.path, "exec", flags, dont_inherit=True)
        pending = eval(code, example.namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            self.runner.run(pending)


def write(path: Path, text: str) -> None:
    """Write a file of the working directory; import it if it is Python."""
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{path} is outside of the working directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if path.suffix == ".py":
        module = ".".join(path.with_suffix("").parts)
        sys.modules.pop(module, None)
        importlib.invalidate_caches()
        importlib.import_module(module)


def shell(script: str) -> str:
    """Run a script with the commands of this environment first; return all that it printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", ENDLESS.sub(r"\1 --stop-when-empty", script)],
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"exit code {done.returncode}\n{script}\n{done.stdout}")
    return done.stdout


def console(session: str) -> None:
    """Run the commands of a session and compare what they print with what the page says."""
    before, *commands = re.split(r"^\$ ", session, flags=re.MULTILINE)
    if before or not commands:
        raise ValueError("a console block begins with a command: `$ ...`")
    for command in commands:
        lines = command.splitlines(keepends=True)
        end = next(i for i, line in enumerate(lines, 1) if not line.endswith("\\\n"))
        said, want = "".join(lines[:end]), "".join(lines[end:])
        got = shell(said)
        if want.strip() and not doctest.OutputChecker().check_output(want, got, OUTPUT):
            raise AssertionError(f"{said}printed\n{got}and not\n{want}")


if __name__ == "__main__":
    Page(Path(sys.argv[1])).run()
