"""`python -m async_task` is `async-task`."""

from async_task.cli.main import main

if __name__ == "__main__":
    main()
