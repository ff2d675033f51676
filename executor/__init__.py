"""What touches a target database. Runs in the worker only."""
