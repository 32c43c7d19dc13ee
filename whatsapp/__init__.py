"""The WhatsApp integration: what is sent, and what comes back."""
