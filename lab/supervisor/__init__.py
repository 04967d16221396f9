"""Processes: listeners bound first, one confined process per service, started again when it dies, reloaded, stopped."""
