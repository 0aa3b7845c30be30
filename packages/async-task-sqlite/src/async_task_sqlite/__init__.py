"""SQLite driver of async-task: one file, several processes, nothing to install."""
