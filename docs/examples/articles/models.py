"""What the reader keeps, and where."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

TORTOISE = {
    "connections": {"default": "sqlite://articles.db"},
    "apps": {"articles": {"models": ["models"]}},
}


class Feed(Model):
    """Where articles come from."""

    id = fields.IntField(primary_key=True)
    title = fields.CharField(max_length=200)


class Article(Model):
    """One article, with its length once a task has counted it."""

    id = fields.IntField(primary_key=True)
    feed: fields.ForeignKeyRelation[Feed] = fields.ForeignKeyField("articles.Feed")
    text = fields.TextField()
    words: int | None = fields.IntField(null=True)
