"""What a run met and what it used: captured once, and at the end of each node."""
