"""Finding what is installed: hooks that plug-ins implement, and the manager that loads them."""
