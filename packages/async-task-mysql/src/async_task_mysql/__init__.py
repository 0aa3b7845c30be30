"""MySQL and MariaDB driver of async-task; see `driver.MysqlDriver`."""
