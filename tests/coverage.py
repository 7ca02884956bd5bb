"""A plugin of pytest that tells which lines and branches of the app no test reaches: ``pytest -p tests.coverage``.

SlipCover puts marks into the code and takes them out once they are reached, which costs next to nothing. What runs in
processes of their own, and what is reached only there, counts as not reached.
"""

from __future__ import annotations

import json
from fnmatch import fnmatch
from typing import Any

import pytest
from slipcover import FileMatcher, ImportManager, Slipcover, merge_coverage, print_coverage
from slipcover.slipcover import add_summaries

FOLDERS = ["demo", "misskey", "web"]
#: Run in processes of their own alone.
ELSEWHERE = ["web/gunicorn.conf.py", "web/hosting/gunicorn_worker.py"]
OF_A_PROGRAM = 'if __name__ == "__main__":'


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much is wanted, and of which files."""
    group = parser.getgroup("coverage")
    group.addoption("--coverage-least", type=float, default=0, help="fail where less is reached, in percent")
    group.addoption("--coverage-of", default="*", help="patterns of files, with commas between them")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin before ``conftest.py`` imports the app."""
    early_config.pluginmanager.register(Coverage(early_config), "coverage of the app")


class Coverage:
    """Collects what tests reach, in this process and in those of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.here = Slipcover(branch=True, source=FOLDERS, omit=ELSEWHERE, exclude_also=[OF_A_PROGRAM])
        self.of_others: list[dict[str, Any]] = []
        ImportManager(self.here, FileMatcher(["app.py", *FOLDERS], ELSEWHERE)).__enter__()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a process of pytest-xdist has collected; one that broke down has nothing."""
        if told := getattr(node, "workeroutput", {}).get("coverage"):
            self.of_others.append(json.loads(told))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand over what was collected, or look whether it is enough."""
        self.reached = self.here.get_coverage()
        if (output := getattr(self.config, "workeroutput", None)) is not None:
            output["coverage"] = json.dumps(self.reached)
            return
        for reached in self.of_others:
            merge_coverage(self.reached, reached)
        patterns = self.config.getoption("coverage_of").split(",")
        files = self.reached["files"]
        self.reached["files"] = {name: files[name] for name in files if any(fnmatch(name, one) for one in patterns)}
        add_summaries(self.reached)
        self.is_enough = self.reached["summary"]["percent_covered"] >= self.config.getoption("coverage_least")
        if not self.is_enough and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell what was not reached."""
        summary = self.reached["summary"]
        print_coverage(self.reached, outfile=terminalreporter, skip_covered=True)
        terminalreporter.write_line(f"\nThe tests reach {summary['percent_covered']:.2f} % of lines and branches.")
        if not self.is_enough:
            terminalreporter.write_line("That is not enough.", red=True)
