"""Language models: the boundary in `base`, the providers behind it, and which one is meant in `resolve`."""
