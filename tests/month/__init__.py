"""A month of laundromats, hour by hour: customers, real sender and webhook, expected results.

The expected figures are computed from the customers' own rows and from what the fake of WhatsApp
knows: what it has accepted, what it has told, and what people wrote. Of the system's results only
three are read: who was a candidate, which attempts the sender claims, and which of those that
nobody heard of were given up.
"""
