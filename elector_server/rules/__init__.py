"""What is allowed, and what follows: pure functions of (record, request, now)."""
