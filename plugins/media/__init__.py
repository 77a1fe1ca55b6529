"""What every plugin that reads or makes media shares: where FFmpeg is, how it is called, what its answers mean."""
