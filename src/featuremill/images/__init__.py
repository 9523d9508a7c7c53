"""Turns image bytes into pixels: decoding, resizing, a child that may die, drawn pictures."""
