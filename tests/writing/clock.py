"""A clock that moves when it is told."""

START_NS = 1_795_244_592_000_000_000  # 2026-11-21T07:03:12Z


class ManualClock:
    """Nanoseconds since 1970 and of a monotonic clock, both moved by `forward`."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self.mono_ns = 5_000_000_000

    def time_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.mono_ns

    def forward(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)
        self.mono_ns += round(seconds * 1e9)
