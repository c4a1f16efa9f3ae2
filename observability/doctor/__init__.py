"""What an installation and a folder can do."""
