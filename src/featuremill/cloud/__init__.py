"""featuremill on AWS: everything that people otherwise do by hand in the console.

Every command first builds a plan, which is data (:mod:`~featuremill.cloud.aws.plan`), from its
options and from the file that says which stack belongs to a folder
(:mod:`~featuremill.cloud.stack.project_file`).
A plan is shown by ``--dry-run`` or run by :func:`featuremill.cloud.aws.execute.execute`; only
:mod:`~featuremill.cloud.aws.client` calls AWS.
"""
