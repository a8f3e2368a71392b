"""Drivers: an interface and its implementations."""
