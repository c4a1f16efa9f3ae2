"""What a report should say after calls, by plain lists and dicts: a second oracle.

Live and folded states share their code, so they may be wrong alike.  Nothing here is imported
from the packages: the rules are written down once more, the slow and plain way.
"""

from typing import Any

ENDED = ("succeeded", "failed", "skipped")


class Plain:
    """One unit.

    Attributes:
        kind: `step`, `file`, `pipeline` or `own`.
        named: Its id was given, not made of its label.
        fields: Of a kind of a user's own.
        steps: Those in it.
        files: Those in it.
    """

    def __init__(
        self,
        kind: str,
        label: str = "",
        *,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        pending: bool = False,
        planned: int | None = None,
    ) -> None:
        self.kind, self.label, self.named = kind, label, bool(name)
        self.id = name or slug(label) or "step"
        self.status = "pending" if pending or kind == "pipeline" else "running"
        self.planned = planned
        self.set_percent = 0
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.errors: list[str] = []
        self.checks: list[list[Any]] = []
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.fields: dict[str, Any] = {}
        self.review: list[Any] = [False, None]
        self.reopened = False
        self.steps: list[Plain] = []
        self.files: list[Plain] = []
        self.stage = self.message = ""

    # --- What it says

    @property
    def ok(self) -> bool:
        if self.status == "failed" or self.errors:
            return False
        return self.status == "succeeded" or (
            all(check[1] for check in self.checks) and all(step.ok for step in self.steps)
        )

    @property
    def percent(self) -> int:
        if self.kind != "file" or self.status == "succeeded" or not (self.steps or self.planned):
            return self.set_percent
        ended = sum(step.status in ENDED for step in self.steps)
        return int(100 * ended / max(len(self.steps), self.planned or 0) + 0.5)

    @property
    def whole(self) -> str:
        """The status of a batch."""
        found = [unit.status for unit in self.steps + self.files]
        if not found:
            return "pending"
        for status in ("failed", "running"):
            if status in found:
                return status
        if set(found) == {"skipped"}:
            return "skipped"
        return "pending" if "pending" in found else "succeeded"

    def reasons(self) -> list[str]:
        """Return what it fails of, its own errors aside."""
        if self.kind == "file":
            bad = [step for step in self.steps if not step.ok]
            found = [
                "; ".join(step.errors) or "; ".join(step.reasons()) or f"Step {step.id!r} failed"
                for step in bad
            ]
        else:
            found = [c[2] or f"Check {c[0]!r} failed" for c in self.checks if not c[1]]
        return [reason for reason in found if reason not in self.errors]

    # --- What happens to it

    def become(self, status: str) -> None:
        if self.status in ENDED:
            self.reopened = True
            if status not in ENDED and self.set_percent == 100:
                self.set_percent = 0
        self.status = status
        if status == "succeeded":
            self.set_percent = 100

    def end(self) -> None:
        if self.status in ENDED:
            return
        if self.ok:
            self.become("succeeded")
        else:
            self.errors += self.reasons()
            self.become("failed")

    def take(self, unit: "Plain") -> None:
        """Let *unit* stand here, under an id that is free."""
        if unit.kind == "file":
            self.files.append(unit)
            return
        taken = {step.id for step in self.steps}
        wanted, n = unit.id, 1 if unit.named else 2
        while unit.id in taken:
            unit.id, n = f"{wanted}-{n}", n + 1
        self.steps.append(unit)

    def flag_for(self, step: "Plain") -> None:
        """Flag a file whose step is."""
        if self.kind == "file" and not self.review[0]:
            self.review = [True, step.review[1] or f"Step '{step.id}' requested review"]

    # --- As it is dumped, times aside

    def view(self) -> dict[str, Any]:
        if self.kind == "pipeline":
            return {
                "status": self.whole,
                "stage": self.stage,
                "message": self.message,
                "percent": self.set_percent,
                "steps": [step.view() for step in self.steps],
                "files": [file.view() for file in self.files],
            }
        view = {
            "label": self.label,
            "status": self.status,
            "percent": self.percent,
            "reopened": self.reopened,
            "notes": self.notes,
            "warnings": self.warnings,
            "errors": self.errors,
            "metadata": self.metadata,
            "review": {"flagged": self.review[0], "reason": self.review[1]},
        }
        if self.kind == "step":
            names = ("name", "ok", "detail")
            checks = [dict(zip(names, check, strict=True)) for check in self.checks]
            return {**view, "id": self.id, "checks": checks}
        if self.kind == "file":
            flagged = self.review[0] or any(step.review[0] for step in self.steps)
            return {
                **view,
                "requires_human_review": flagged,
                "n_steps": len(self.steps),
                "steps": [step.view() for step in self.steps],
            }
        return {**view, **self.fields}


def slug(label: str) -> str:
    """Return what an id is made of."""
    return "".join(c for c in "-".join(label.lower().split()) if c == "-" or c.isalnum())[:200]


def shared(view: Any, plain: Any) -> Any:
    """Return of a dump what the plain one has as well; metadata whole."""
    if isinstance(plain, dict) and isinstance(view, dict):
        return {
            key: value if key == "metadata" else shared(value, plain[key])
            for key, value in view.items()
            if key in plain
        }
    if isinstance(plain, list) and isinstance(view, list) and len(plain) == len(view):
        return [shared(one, other) for one, other in zip(view, plain, strict=True)]
    return view
