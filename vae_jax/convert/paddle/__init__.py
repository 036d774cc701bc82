"""Paddle's files, read and written without Paddle."""
