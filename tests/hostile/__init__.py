"""Nothing gets in: hostile values at every field, hostile replies, and what is left readable for others."""
