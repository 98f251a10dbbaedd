"""Promise: each test that docs/explanation/para-checklist.md names exists, and each row names one."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "explanation" / "para-checklist.md"
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_every_row_names_tests_that_exist() -> None:
    rows = [line.strip("|").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row[0].strip().startswith("**") and row[0].strip() != "feature"]
    assert len(rows) > 80
    functions: dict[str, set[str]] = {}
    for row in rows:
        assert len(row) == 3, row
        named = NAMED.findall(row[2])
        assert named, f"no test shows {row[0]}"
        for file, test in named:
            if file not in functions:
                tree = ast.walk(ast.parse((TESTS / file).read_text()))
                functions[file] = {
                    n.name for n in tree if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                }
            assert test in functions[file], f"{file}::{test}"
