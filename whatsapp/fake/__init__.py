"""A fake of WhatsApp's Cloud API for the local stack and the tests; it never runs in production.

It checks requests as strictly as the real API, keeps a ledger of accepted messages, fails on
demand, and sends signed webhooks with each message's statuses. Facts about the real API name their
page as WA/…, below https://developers.facebook.com/documentation/business-messaging/whatsapp.
"""
