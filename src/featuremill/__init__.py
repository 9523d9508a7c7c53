"""Turns a bucket of images into features and a PCA."""
