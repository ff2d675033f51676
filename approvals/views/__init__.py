"""Views parse, call one domain function and render. Who may open them was decided before, in permissions."""
