"""Serving: models on many wafers, and runs on many processes."""
