"""`./run` and `./test` name in one line what they cannot install, and change nothing then.

That they do their work where they can is proved in a bare Debian (tools/clean_machine.py).
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
# What every Debian has, without apt-get and python3.
ESSENTIAL = ("sh", "dirname", "cat", "cksum", "flock", "id", "mktemp", "rm", "sed", "tail")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the commands, with a PATH of its own in `bin` beside them."""
    for name in ("run", "test", "pyproject.toml", "tools/setup.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPO / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for name in ESSENTIAL:
        found = shutil.which(name)
        assert found, name
        (tmp_path / "bin" / name).symlink_to(found)
    return tmp_path


def refuse(checkout: Path, command: str, **more: str) -> str:
    """What it writes to standard error when it gives up."""
    environment = {"PATH": str(checkout / "bin"), "TMPDIR": str(checkout), **more}
    done = subprocess.run(
        [checkout / command], cwd="/", env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


@pytest.mark.parametrize("command", ["run", "test"])
def test_without_python_it_says_so(checkout: Path, command: str) -> None:
    [line] = refuse(checkout, command).splitlines()
    assert "apt-get install python3-venv" in line
    assert not (checkout / ".venv").exists()


def test_what_pip_cannot_install_is_named(checkout: Path) -> None:
    """A real pip that may ask no index: the line holds pip's own word, and the next try starts over."""
    (checkout / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    for _ in range(2):
        *_, last = refuse(checkout, "run", PIP_NO_INDEX="1").splitlines()
        assert "pip install failed: ERROR: " in last
        assert "hatchling" in last


@pytest.mark.parametrize("command", ["./run", "./test"])
def test_the_readme_names_both(command: str) -> None:
    assert command in (REPO / "README.md").read_text()
