"""`vmhub webhook`: what WhatsApp tells, from the signed POST to the documents; docs/webhook.md."""
