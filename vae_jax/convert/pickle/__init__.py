"""Read pickles without running anything."""
