"""Settings: TOML file < environment < arguments, and the built-in profiles. Read by the two `app.py` alone."""
