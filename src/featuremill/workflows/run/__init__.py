"""The main job: list images, embed what is new, commit it, reduce, write, report.

Workers import the tasks from here, so that nothing is imported for them that only a driver needs.
"""

from featuremill._utils.extras import is_installed


def modules_of_tasks(engine: str) -> list[str]:
    """Name what a worker imports for the tasks of a run, the longest to load first."""
    library = engine
    if engine == "auto":
        library = "openvino" if is_installed("openvino") else "onnxruntime"
    return [library, "featuremill.workflows.run.probe", "featuremill.pca.reduce"]
