"""Promise: each test that a checklist of docs/explanation names exists, as does each place; each row names one."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGES = TESTS.parent / "docs" / "explanation"
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize(("page", "least"), [("para-checklist.md", 80), ("identity-checklist.md", 60)])
def test_every_row_names_tests_that_exist(page: str, least: int) -> None:
    rows = [line.strip("|").split(" | ") for line in (PAGES / page).read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row[0].strip().startswith("**") and row[0].strip() != "feature"]
    assert len(rows) > least
    functions: dict[str, set[str]] = {}
    for row in rows:
        assert len(row) == 3, row
        named = NAMED.findall(row[2])
        assert named, f"no test shows {row[0]}"
        for place in re.findall(r"`([\w/]+\.py)`", row[1]):
            assert (TESTS.parent / "src" / "thingstead" / place).is_file(), place
        for file, test in named:
            if file not in functions:
                tree = ast.walk(ast.parse((TESTS / file).read_text()))
                functions[file] = {
                    n.name for n in tree if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                }
            assert test in functions[file], f"{file}::{test}"
