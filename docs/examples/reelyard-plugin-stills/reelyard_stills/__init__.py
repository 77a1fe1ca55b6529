"""Single pictures by seeking: a transcoder plugin for Reelyard."""
