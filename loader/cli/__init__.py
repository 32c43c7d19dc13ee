"""The command line: one file per command, with the way its result is shown."""
