"""Store two articles, have their words counted, and change one's mind about the second."""

from __future__ import annotations

from models import TORTOISE, Article, Feed
from tasks import count_words
from tortoise import Tortoise, run_async


async def main() -> None:
    """Store, dispatch, delete."""
    await Tortoise.init(config=TORTOISE)
    await Tortoise.generate_schemas()
    feed = await Feed.create(title="Notes")
    for text in ("It compiles.", "It does not."):
        article = await Article.create(feed=feed, text=text)
        await count_words.dispatch(article)
    await article.delete()
    await Article.filter(text="It compiles.").update(text="It compiles, and passes.")


if __name__ == "__main__":
    run_async(main())
