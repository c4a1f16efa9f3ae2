"""A batch as a state: its banner, its steps and its files, and where files are looked up."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from replay.fold.report.base import SCHEMA_VERSION, ReportBase, Tally
from replay.fold.report.file import FileReport
from replay.fold.status import FAILED, PENDING, RUNNING, SKIPPED, SUCCEEDED


class PipelineReport(ReportBase, gc=False, kw_only=True):
    """A batch: its banner, its steps and its files.

    Attributes:
        batch_id: As the program gave it.
        report_kind: `validation`, `process` or `test`.
        stage: Of the banner.
        message: Of the banner.
        updated_at: When the banner, a step or a file last changed.
        output_path: Where the program saves it.
        steps: The batch's own, in the order in which they began.
        files: Likewise.
        tally: The statuses of both.
    """

    batch_id: int | str | None = None
    report_kind: str = "process"
    stage: str = ""
    message: str = ""
    updated_at: str | None = None
    output_path: str | None = None
    steps: list[ReportBase] = msgspec.field(default_factory=list)
    files: list[ReportBase] = msgspec.field(default_factory=list)
    tally: Tally = msgspec.field(default_factory=dict)

    def rollup(self, *, running_as: str = RUNNING) -> str:
        """Return the status of the batch: that of its steps and files together.

        Args:
            running_as: What is said of it while something in it runs.
        """
        tally = self.tally.get
        total = sum(self.tally.values())
        if not total:
            return PENDING
        if tally(FAILED, 0):
            return FAILED
        if tally(RUNNING, 0):
            return running_as
        if tally(SKIPPED, 0) == total:
            return SKIPPED
        return PENDING if tally(PENDING, 0) else SUCCEEDED

    # --- Looking files up

    def places_of(self, key: str | os.PathLike[str]) -> list[int]:
        """Return which files *key* names, by place: by id, else by path, else by name.

        Case counts, and so does the folder: `x/a.txt` and `y/a.txt` are two, both named `a.txt`.
        """
        wanted = os.fspath(key)
        tests: tuple[Callable[[FileReport], bool], ...] = (
            lambda file: file.file_id == wanted,
            lambda file: file.path == wanted,
            lambda file: wanted in {file.name, file.path.rpartition("/")[2]},
        )
        files = [(n, file) for n, file in enumerate(self.files) if isinstance(file, FileReport)]
        for named in tests:
            found = [n for n, file in files if named(file)]
            if found:
                return found
        return []

    def files_for(self, key: str | os.PathLike[str]) -> list[FileReport]:
        """Return the files that *key* names, as `places_of`."""
        files: list[Any] = self.files
        return [files[n] for n in self.places_of(key)]

    def file_seen(self, key: str | os.PathLike[str]) -> bool:
        """Return whether *key* names a file."""
        return bool(self.places_of(key))

    def file_processed(self, key: str | os.PathLike[str], *, require_success: bool = False) -> bool:
        """Return whether every file that *key* names has ended, or ended well."""
        found = self.files_for(key)
        return bool(found) and all(
            file.is_processed(require_success=require_success) for file in found
        )

    def unseen_expected(self, expected: Iterable[str | os.PathLike[str]]) -> list[str]:
        """Return what of *expected* names no file."""
        return [os.fspath(key) for key in expected if not self.file_seen(key)]

    def table_rows_for_files_map(self, expected: Any) -> list[dict[str, Any]]:
        """Return a row for each expected file, for a template.

        Args:
            expected: File names; of a mapping the values are the rows' `other`.
        """
        others = expected if isinstance(expected, Mapping) else dict.fromkeys(expected)
        return [self._row(os.fspath(key), other) for key, other in others.items()]

    def _row(self, key: str, other: Any) -> dict[str, Any]:
        found = self.files_for(key)
        file = found[-1] if found else None
        return {
            "filename": key,
            "seen": file is not None,
            "status": "MISSING" if file is None else file.status,
            "percent": 0 if file is None else file.progress,
            "flagged_human_review": file is not None and file.requires_human_review,
            "human_review_reason": None if file is None else file.human_review_reason,
            "file_id": None if file is None else file.file_id,
            "path": None if file is None else str(PurePath(file.path)),
            "other": other,
        }

    # --- As JSON

    def head(
        self,
        now_us: int | None = None,  # noqa: ARG002 - a batch has no duration
        *,
        running_as: str = RUNNING,
    ) -> dict[str, Any]:
        """Return the batch as JSON without what stands in it: both lists are last, and empty."""
        view: dict[str, Any] = {
            "label": self.label,
            "batch_id": self.batch_id,
            "kind": self.report_kind,
            "status": self.rollup(running_as=running_as),
            "stage": self.stage,
            "percent": self.percent,
            "message": self.message,
            "updated_at": self.updated_at,
            "output_path": self.output_path,
            "report_version": SCHEMA_VERSION,
        }
        self.with_own(view)
        for name in ("steps", "files"):
            view.pop(name, None)  # a field of that name would stand before the others
            view[name] = []
        return view
