"""pytest plug-in of async-task."""
