"""The reader's own tests: Tortoise in memory, and no worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from models import TORTOISE, Article, Feed
from tasks import announce, count_words
from tortoise.context import TortoiseContext

if TYPE_CHECKING:
    from async_task.testing.fake import FakeQueue


def test_words_are_counted(fake_queue: FakeQueue) -> None:
    async def scenario() -> None:
        async with TortoiseContext() as tortoise:
            await tortoise.init(TORTOISE | {"connections": {"default": "sqlite://:memory:"}})
            await tortoise.generate_schemas()
            article = await Article.create(feed=await Feed.create(title="Notes"), text="one two")
            await count_words.dispatch(article)
            await article.delete()
            await count_words.dispatch(again := await Article.create(feed_id=1, text="three"))
            await fake_queue.run_all()
            fake_queue.assert_dispatched(announce, {"articles": [again]}, times=1)
            assert await Article.all().values_list("words", flat=True) == [1]

    asyncio.run(scenario())
