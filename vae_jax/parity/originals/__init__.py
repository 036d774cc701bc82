"""The originals, rewritten from their tutorials in their own framework: one file a framework."""
