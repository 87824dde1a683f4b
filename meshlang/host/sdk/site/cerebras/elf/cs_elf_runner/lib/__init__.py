"""What came with the runtime before memcpy."""
