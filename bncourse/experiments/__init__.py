"""Published experiments, one a file, each a function from a config to a result."""
