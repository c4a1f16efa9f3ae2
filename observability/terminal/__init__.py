"""What a run shows on a terminal while it goes on: bar, prints, and the clean lines of both."""
