"""Rows as arguments in the processes of a real worker, which has an SQLite file only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

APPLICATION = """
from async_task import Task, set_global_config, task
from async_task_orm import set_sqlalchemy_session_factory
from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session
from sqlalchemy.orm import relationship, sessionmaker

set_global_config(driver="sqlite", sqlite_path="queue.db", default_retry_delay=0)
engine = create_engine("sqlite:///shop.db")
set_sqlalchemy_session_factory(sessionmaker(engine))


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    visits: Mapped[list["Visit"]] = relationship()


class Visit(Base):
    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[int] = mapped_column(ForeignKey("customers.id"))



@task(process=True)
def count(customer: Customer, who: list[Customer]) -> None:
    assert customer is who[0]
    print(f"{customer.name} {len(customer.visits)}", flush=True)


class Fall(Task[None]):
    process = True
    max_retries = 1

    def __init__(self, customer: Customer) -> None:
        self.customer = customer

    async def handle(self) -> None:
        self.customer.name = "falling"
        object_session(self.customer).commit()
        raise RuntimeError

    async def failed(self, exception: Exception) -> None:
        print(f"failed for {self.customer.name} {len(self.customer.visits)}", flush=True)


if __name__ == "__main__":
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(customer := Customer(name="Ada", visits=[Visit(), Visit()]))
        session.commit()
        count.dispatch_sync(customer, [customer])
        Fall(customer).dispatch_sync()
"""


def test_children_fetch_rows_too(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "main.py").write_text(APPLICATION.strip())
    run("main.py")
    said = run("-m", "async_task", "worker", "--stop-when-empty", "--concurrency=1")
    assert said.splitlines() == ["Ada 2", "failed for falling 2"]
