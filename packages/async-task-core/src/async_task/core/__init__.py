"""The domain: tasks, calls, policies. No I/O, no driver."""
