"""The main job: list images, embed what is new, commit it, reduce, write, report.

Workers import the tasks from here, so that nothing is imported for them that only a driver needs.
"""
