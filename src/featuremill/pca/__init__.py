"""Moments, principal components and drift; fitting and projecting over a features table."""
