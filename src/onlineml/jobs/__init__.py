"""Background runs: training, evaluating, notebooks or your own functions, in a process that outlives the notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.jobs.executors import Executor as Executor
    from onlineml.jobs.executors import LocalProcesses as LocalProcesses
    from onlineml.jobs.job import Job as Job
    from onlineml.jobs.project_jobs import ProjectJobs as ProjectJobs
    from onlineml.jobs.status import Jobs as Jobs
    from onlineml.jobs.status import JobStatus as JobStatus

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Executor": "executors",
        "Job": "job",
        "JobStatus": "status",
        "Jobs": "status",
        "LocalProcesses": "executors",
        "ProjectJobs": "project_jobs",
    },
)
