"""What people decide about rollbacks, and every record of it. Never opens a connection to a target."""
