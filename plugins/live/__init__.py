"""Live streams: one FFmpeg receives, encodes the ladder and cuts it; at its end the segments are the recording."""
