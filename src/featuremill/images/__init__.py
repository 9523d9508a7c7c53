"""Image bytes become pixels: decoding, resizing, the child process that may die, drawn pictures."""
