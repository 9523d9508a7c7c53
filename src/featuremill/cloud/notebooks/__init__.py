"""Notebooks on AWS: clusters with JupyterHub, a server with JupyterLab, EMR Studio."""
