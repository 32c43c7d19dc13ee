"""A fake of WhatsApp's Cloud API for the local stack and the tests; no part of it runs for real.

It checks requests as strictly as the real API, keeps a ledger of the messages that it accepted,
breaks on demand, and tells by signed webhooks what became of each message. Facts about the real
API carry their page below https://developers.facebook.com/documentation/business-messaging/whatsapp
(here: WA).
"""
