"""The drivers that come with core: memory, the reference for every rule of `async_task.spi`."""
