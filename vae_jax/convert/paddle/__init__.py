"""Read and write Paddle files without Paddle."""
