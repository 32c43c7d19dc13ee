"""The command line: one file is one command and how its result looks."""
