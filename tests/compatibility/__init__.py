"""A package, so that its modules may be named as others are."""
