"""A month of laundromats, hour by hour: customers, a scripted sender, and the expected results.

Nothing here reads the system's results: the expected figures are computed from the script's own
rows and the sender's own log.
"""
