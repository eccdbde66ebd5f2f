"""pytest collects `*.videodag.toml` as tests: one per case. Until there is such a file, nothing but this small module is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from videodag_cli.check.suite import Case


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A suite for each `*.videodag.toml`."""
    if file_path.name.endswith(".videodag.toml"):
        return SuiteFile.from_parent(parent, path=file_path)
    return None


class CaseError(Exception):
    """A case that did not pass; the message is what `videodag check` says."""


class SuiteFile(pytest.File):
    def collect(self) -> Iterator[CaseItem]:
        from videodag_cli.check.suite import load_suite
        from videodag_cli.errors import RequestError

        try:
            cases = load_suite(self.path)
        except RequestError as error:
            raise self.CollectError(error.message) from error
        for case in cases:
            yield CaseItem.from_parent(self, name=case.name, case=case)


class CaseItem(pytest.Item):
    def __init__(self, *, case: Case, **options: Any) -> None:
        super().__init__(**options)
        self._case = case

    def runtest(self) -> None:
        import tempfile

        from videodag_cli.check.check import PASSED, check_case

        with tempfile.TemporaryDirectory(prefix="videodag-") as folder:
            outcome = check_case(self._case, Path(folder))
        if outcome.status != PASSED:
            raise CaseError("\n".join(outcome.lines()))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, CaseError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"videodag: {self.name}"
