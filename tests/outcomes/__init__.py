"""Browser tests with a worker of their own: a package, so that the browser ends with the last of them."""
