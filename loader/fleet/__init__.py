"""The hourly run of a fleet; laundromats do not affect each other."""
