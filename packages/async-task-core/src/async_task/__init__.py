"""async-task."""
