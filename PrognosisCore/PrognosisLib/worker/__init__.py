"""The process that runs pipelines beside the application; see client.py."""

from .client import Done, Event, Failed, Progress, Worker, shared_worker
from .process import default_executable

__all__ = ["Done", "Event", "Failed", "Progress", "Worker", "default_executable", "shared_worker"]
