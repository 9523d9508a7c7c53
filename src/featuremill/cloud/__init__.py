"""featuremill on AWS: everything that people otherwise do by hand in the console.

Every command is a plain function of a connection, its options and the file that says which stack
belongs to a folder (:mod:`~featuremill.cloud.stack.project_file`). Only
:mod:`~featuremill.cloud.aws.client` calls AWS; for ``--dry-run`` the command runs on the connection
of :mod:`~featuremill.cloud.aws.dry_run`, which shows each call and makes none.
"""
