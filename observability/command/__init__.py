"""Any program as a node: how it is run, what it prints, what is recorded of it."""
