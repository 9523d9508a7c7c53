"""featuremill on AWS: everything that people otherwise do by hand in the console.

Every command first builds a plan, which is data (:mod:`~featuremill.cloud.plan`), from its options
and from the file that says which stack belongs to a folder (:mod:`~featuremill.cloud.place`).
A plan is shown by ``--dry-run`` or run by :func:`featuremill.cloud.execute.execute`; only
:mod:`~featuremill.cloud.aws` calls AWS.
"""
