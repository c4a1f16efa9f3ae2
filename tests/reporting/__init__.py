"""Live reports and the folds of their traces."""
