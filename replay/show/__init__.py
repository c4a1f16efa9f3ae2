"""What people read: state in, text out."""
