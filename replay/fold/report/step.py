"""A step as a state, with what was checked in it."""

from typing import Any

import msgspec

from replay.fold.report.base import ReportBase
from replay.fold.status import RUNNING


class Check(msgspec.Struct, frozen=True, gc=False):
    """One thing that was checked, and how that went."""

    name: str
    ok: bool
    detail: str | None = None


class StepReport(ReportBase, gc=False, kw_only=True):
    """A step.

    Attributes:
        checks: None until there is one.
        node_id: The node that it is, if it is one.
        node_index: That node's index.
        failed_of: What that node's last attempt failed of, as it stands among the errors.
    """

    checks: list[Check] | None = None
    node_id: str | None = None
    node_index: int | None = None
    failed_of: str | None = None

    @property
    def parts_ok(self) -> bool:
        """Whether no check has failed."""
        return all(check.ok for check in self.checks or ())

    def failures_of_parts(self) -> list[str]:
        """Return what the checks that failed say."""
        failed = [check for check in self.checks or () if not check.ok]
        return [check.detail or f"Check {check.name!r} failed" for check in failed]

    def head(self, now_us: int | None = None, *, running_as: str = RUNNING) -> dict[str, Any]:
        """Return the step as JSON, without what was decided of it."""
        view = self.common_head(now_us, running_as)
        view["checks"] = [check_view(check) for check in self.checks or ()]
        if self.node_id is not None:
            view |= {"node_id": self.node_id, "node_index": self.node_index}
        return self.with_own(view)


def check_view(check: Check) -> dict[str, Any]:
    """Return one thing that was checked, as JSON."""
    return {"name": check.name, "ok": check.ok, "detail": check.detail}
