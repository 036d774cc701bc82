"""TensorFlow's checkpoints; TensorFlow itself reads and writes their values."""
