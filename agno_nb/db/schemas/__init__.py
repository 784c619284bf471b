"""agno's paths of values that a store keeps."""
