"""A month of laundromats, hour by hour: their customers, a scripted sender, and what must come out.

Nothing here reads what the system makes of it: the expected figures are worked out from the
script's own rows and the sender's own log.
"""
