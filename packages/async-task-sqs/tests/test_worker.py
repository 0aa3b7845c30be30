"""An application and its worker, as users run them."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

APP = """
import asyncio

from async_task import current_context, set_global_config, task

set_global_config(url={url!r}, namespace={namespace!r})

@task(retry_delay=1)
async def flaky(n: int) -> None:
    if current_context().attempt == 0:
        raise RuntimeError("once")
    print("done", n, flush=True)

@task(max_retries=0)
async def broken() -> None:
    raise RuntimeError("always")

@task(queue="urgent")
async def blob(data: bytes) -> None:
    print("blob", len(data), flush=True)

async def main() -> None:
    await asyncio.gather(*(flaky.dispatch(n) for n in range(5)))
    await broken.dispatch()
    await blob.dispatch(bytes(100_000))

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_worker_does_what_was_dispatched(moto: str, tmp_path: Path) -> None:
    namespace = f"t{uuid.uuid4().hex[:12]}"
    source = APP.format(url=moto, namespace=namespace)
    (tmp_path / "app.py").write_text(source)

    def run(*arguments: str) -> list[str]:
        command = [sys.executable, "-W", "error", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return sorted(done.stdout.splitlines())

    run("app.py")
    worker = ("-m", "async_task", "worker", "--queues", "urgent,default", "--max-tasks")
    done = run(*worker, "12")  # five that fail once, one that fails for good, one that is large
    assert done == ["blob 100000", *(f"done {n}" for n in range(5))]
    where = ("--queue", "default", "--url", moto, "--namespace", namespace)
    dead = "\n".join(run("-m", "async_task", "dead", "list", *where))
    assert "broken" in dead
