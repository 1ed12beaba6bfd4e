"""Writes models for servers and devices, and proves that what was written runs there."""
