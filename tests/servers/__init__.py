"""Real servers for tests, each from its wheel, on a free port, gone with the process that started it."""
