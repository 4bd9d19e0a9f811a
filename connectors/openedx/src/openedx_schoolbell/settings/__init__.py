"""What the platform calls while it puts its settings together."""
