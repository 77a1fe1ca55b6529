"""The engine's composition root: reads settings and arguments, builds the parts, runs the daemon or the doctor."""
