"""The rules of `async_task.spi` as tests, a module per noun; see `DriverConformance`."""
