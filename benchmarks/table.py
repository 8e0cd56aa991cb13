"""The table that a run prints: what, measured, bound, verdict."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line: a ratio or a size with its bound, and the figures that it comes from."""

    what: str
    value: float
    bound: float
    unit: str
    figures: str

    @property
    def is_within(self) -> bool:
        return self.value <= self.bound


def percentile(seconds: list[float], percent: float) -> float:
    """The value below which `percent` of the sample lie."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def spread(seconds: list[float]) -> str:
    """p50 and p99 in milliseconds."""
    return f"p50 {percentile(seconds, 50) * 1e3:.3f} ms, p99 {percentile(seconds, 99) * 1e3:.3f} ms"


def render(rows: list[Row]) -> str:
    """The table, for an 120-column terminal."""
    lines = [f"{'what':<58} {'measured':>12} {'at most':>10}  ", "-" * 86]
    for row in rows:
        verdict = "ok" if row.is_within else "TOO MUCH"
        lines.append(f"{row.what:<58} {row.value:>8.2f} {row.unit:<4} {row.bound:>6.2f} {row.unit:<4} {verdict}")
        lines.append(f"    {row.figures}")
    return "\n".join(lines)
