"""Read and write PyTorch files."""
