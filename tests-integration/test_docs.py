"""Every block of code on every page runs, or says why not."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import docs_page
import pytest
from workspace import ROOT, run, tracked

PAGES = tracked("README.md", "docs/*.md", "packages/*/README.md")


def run_page(page: Path, folder: Path) -> None:
    run(sys.executable, "-W", "error", docs_page.__file__, page, cwd=folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_runs(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_block_of_a_page_is_overlooked(page: Path) -> None:
    fences = re.findall(r"^[ \t>]*(?:```|~~~)", page.read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(docs_page.Page(page).blocks)


def test_what_is_not_run_says_why() -> None:
    """Lists it, under `pytest -rP`."""
    for page in PAGES:
        comments = re.findall(r"<!--\s*not.run.*", page.read_text(), re.IGNORECASE)
        unrun = [block for block in docs_page.Page(page).blocks if block.unrun]
        assert len(comments) == len(unrun), f"{page}: a comment that is before no block"
        for block in unrun:
            print(f"{page.relative_to(ROOT)}:{block.line}: {block.unrun}")


GOOD = """
```python title="shop/prices.py"
FULL = 3
```

Some text, then a block in a list:

1. Like this.

   ```python
   import asyncio
   from shop.prices import FULL

   half = await asyncio.sleep(0, FULL / 2)
   ```

~~~python
assert half == 1.5
if __name__ == "__main__":
    asyncio.run(asyncio.sleep(0))
~~~

```bash
echo written > file
test -f shop/prices.py
```

```console
$ cat file
written
$ python -c "print(list(range(9)), \\
  flush=True)"
[0, 1, ..., 8]
```

<!-- not run: needs a server -->
```python
raise SystemExit("must not run")
```

```toml
anything = "goes"
```
"""


def test_blocks_share_a_namespace_a_loop_and_a_folder(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(GOOD)
    assert [block.unrun for block in docs_page.Page(page).blocks][-2] == "needs a server"
    run_page(page, tmp_path)
    assert (tmp_path / "file").read_text() == "written\n"


FAILING = {
    "python": ("```python\n\nassert 1 == 2\n```", 'page.md", line 5'),
    "await": ("```python\nawait absent\n```", "name 'absent' is not defined"),
    "file": ('```python title="tasks.py"\nimport absent\n```', "No module named 'absent'"),
    "outside": ('```python title="../tasks.py"\n```', "outside of the working directory"),
    "bash": ("```bash\nfalse\ntrue\n```", "exit code 1"),
    "output": ("```console\n$ echo one\ntwo\n```", "echo one\nprinted\none\nand not\ntwo"),
    "prompt": ("```console\necho one\n```", "a console block begins with a command"),
    "language": ("```pyhton\n```", "do not know what to do with a block of 'pyhton'"),
}


@pytest.mark.parametrize(("block", "complaint"), FAILING.values(), ids=FAILING)
def test_a_block_that_fails_fails_its_page(block: str, complaint: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{block}\n")
    with pytest.raises(AssertionError) as failure:
        run_page(page, tmp_path)
    assert complaint in str(failure.value)
    assert f"in the block at {page}:3" in str(failure.value)
