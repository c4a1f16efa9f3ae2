"""What a program says by other means, as events: logging, structlog, warnings."""
