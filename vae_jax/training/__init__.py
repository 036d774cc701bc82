"""Training: state, the pure step, how it is compiled, the loop, and what a run writes."""
