"""Storage in a directory of this machine."""
