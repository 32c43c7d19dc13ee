"""The page for a laundromat's owner with the results of the messages; see docs/report.md."""
