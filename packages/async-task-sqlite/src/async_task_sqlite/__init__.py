"""SQLite driver of async-task."""
