"""Read and write TensorFlow checkpoints with TensorFlow."""
