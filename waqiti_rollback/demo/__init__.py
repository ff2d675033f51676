"""A small estate to try the portal on: two services, their targets, people, and rollbacks in every status."""
