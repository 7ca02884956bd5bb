"""Figures for Prometheus, where the host wants them, and the folder in which those of gunicorn's workers add up."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from flask import Flask

from web.config import Settings

from .folders import METRICS_FOLDER

_made: list[str] = []  # by this process


def init_app(app: Flask, settings: Settings) -> None:
    """Measure what ``app`` does and show it at ``/metrics``, if ``MIAUTH_METRICS`` is set."""
    if settings.metrics:
        from . import prometheus  # a large library, which few need

        prometheus.init_app(app)


def pre_fork(server: Any, _worker: Any) -> None:
    """Make a fresh folder before the first worker; all inherit its name."""
    if not _made:
        _made.append(tempfile.mkdtemp(prefix="metrics-", dir=server.cfg.worker_tmp_dir))
        os.environ[METRICS_FOLDER] = _made[0]


def child_exit(_server: Any, worker: Any) -> None:
    """Forget what a worker that has ended had open."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    """Remove the folder."""
    for folder in _made:
        shutil.rmtree(folder, ignore_errors=True)  # a system may have tidied up its temporary files before
