"""The page that tells a laundromat's owner what became of the messages; see docs/report.md."""
