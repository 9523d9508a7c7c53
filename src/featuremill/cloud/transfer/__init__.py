"""Images into the bucket and results out of it."""
