"""Tests of the explorer: what it computes, and the page in a real browser."""
