"""The Redis driver of async-task; users reach it as `driver="redis"`."""
