"""The FFmpeg plugin. Everything here is pure but `plugin.py` and `locate.py`."""
