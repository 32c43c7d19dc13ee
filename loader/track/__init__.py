"""Tracking: brings the outcome of messages from target documents into message_history."""
