"""The hourly run: every laundromat of a fleet, each apart from the others."""
