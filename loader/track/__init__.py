"""What became of the messages: from target documents to message_history."""
