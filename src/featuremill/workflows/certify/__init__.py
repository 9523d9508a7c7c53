"""Certifies that a network of somebody else's gives here what it gives where it comes from.

What a run checks on its first images is checked on more of them and in more ways, other people's
features are compared, and a difference is traced to what was done otherwise.
"""

from featuremill.workflows.certify.pipeline import CertifyConfig, certify

__all__ = ["CertifyConfig", "certify"]
