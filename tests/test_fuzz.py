"""The targets of the fuzzer, with what they begin with and with every input that once made one fail."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import fuzz


def test_no_target_fails_with_what_it_begins_with_nor_with_what_once_made_it_fail() -> None:
    targets = fuzz.targets()
    kept = {name: [path.read_bytes() for path in (fuzz.INPUTS / name).glob("*")] for name in targets}

    assert {path.name for path in fuzz.INPUTS.glob("*")} <= targets.keys()
    for name, (target, seeds) in targets.items():
        assert seeds
        for data in (*seeds, *kept[name]):
            target(data)


def test_a_target_that_is_not_there_is_told_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fuzz.main(["--seconds", "1", "nothing"])

    assert ended.value.code == 2
    assert "there is no target nothing; there are " in capsys.readouterr().err


def test_a_system_without_the_fuzzer_is_told_in_words() -> None:
    program = "import sys; sys.modules['atheris'] = None; from tests import fuzz; sys.exit(fuzz.main(['check']))"
    done = subprocess.run([sys.executable, "-c", program], cwd=fuzz.ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (2, f"{fuzz.NOT_HERE}\n")
