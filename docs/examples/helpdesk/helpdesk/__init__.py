"""A help desk: customers write, and are answered."""
