"""Running tasks: one event loop leases, runs and settles; a thread renews the leases."""
