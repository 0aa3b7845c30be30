"""PostgreSQL driver of async-task; see `driver.PostgresDriver`."""
