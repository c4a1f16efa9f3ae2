"""What the project promises, tested against crash, fault and enemy: docs/reliability.md."""
