"""A corpus of texts with made-up secrets, and one of texts in which nothing is secret."""
