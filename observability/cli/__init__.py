"""The `auditfold` command: one module a command, and no logic that a program could not call."""
