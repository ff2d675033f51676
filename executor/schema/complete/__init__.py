"""Completeness of a way back: every effect of a migration held against every step of a script."""
