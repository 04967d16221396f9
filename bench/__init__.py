"""Measurements that take minutes: run by hand, each a command of its own."""
