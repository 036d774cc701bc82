"""Checkpoints in and out: readers, writers, and the mapping between names."""
