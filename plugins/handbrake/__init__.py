"""The HandBrake plugin: renditions by HandBrakeCLI."""
