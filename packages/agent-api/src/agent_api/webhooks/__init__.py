"""Webhooks: who is told of what runs do. What is owed is on the disk before it is sent, and is sent until it comes through."""
