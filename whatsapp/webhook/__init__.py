"""`vmhub webhook`: writes WhatsApp's signed POSTs to Firestore; docs/webhook.md."""
