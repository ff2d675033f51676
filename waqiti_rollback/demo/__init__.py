"""An estate to try the portal on: three services, their targets, people, and rollbacks in every status."""
