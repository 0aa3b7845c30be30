"""Django's setup for the tests, as `tasks` does it for workers."""

import tasks as tasks
