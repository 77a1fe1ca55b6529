"""What a completed job tells of its outputs, each kind in a module of its own: once, for `metadata.json` and for the API."""
