"""The tasks of the reader."""

from __future__ import annotations

from async_task import set_global_config, task
from async_task_orm import register_model, set_tortoise_config
from models import TORTOISE, Article, Feed

set_global_config(driver="sqlite", sqlite_path="queue.db")
set_tortoise_config(TORTOISE)
register_model(Article, missing="discard")


@task
async def count_words(article: Article) -> None:
    """Note how long an article is, and say so if it is the first of its feed."""
    article.words = len(article.text.split())
    await article.save(update_fields=["words"])
    await announce.dispatch(await article.feed, [article])


@task(process=True)
async def announce(feed: Feed, articles: list[Article]) -> None:
    """Print what is new, in a process of its own."""
    for article in articles:
        print(f"{feed.title}: {article.words} words", flush=True)
