"""Where a run's time went, and what to do about it."""

from __future__ import annotations

from videodag_cli.record import RunRecord


def bottleneck(record: RunRecord) -> str:
    """One sentence that a user can act on."""
    wall = record.wall_time_s
    if wall <= 0 or not record.profile:
        return ""
    name, seconds = max(record.profile.items(), key=lambda item: item[1])
    share = min(100, round(100 * seconds / wall))
    advice = {
        "decode": "; try --keyframes or a larger --every" if not record.request.sampling.get("keyframes") else "",
        "convert": "; sample fewer frames",
        "write": "; write to a faster disk",
    }.get(name, "; sample fewer frames, or give the node less to do")
    return f"bottleneck: {name} ({share} % of wall){advice}"


def profile_table(record: RunRecord) -> str:
    """Seconds and share of wall time per part, the slowest first."""
    wall = record.wall_time_s or 1e-9
    rows = sorted(record.profile.items(), key=lambda item: -item[1])
    width = max((len(name) for name, _ in rows), default=4)
    lines = [f"{'part':<{width}}  {'seconds':>8}  {'of wall':>7}"]
    for name, seconds in rows:
        lines.append(f"{name:<{width}}  {seconds:8.3f}  {100 * seconds / wall:6.1f} %")
    lines.append(f"{'wall':<{width}}  {wall:8.3f}")
    for node, timing in record.nodes.items():
        lines.append(
            f"node {node}: {timing.count} calls, mean {timing.mean_ms:.2f} ms, "
            f"p50 {timing.p50_ms:.2f} ms, p95 {timing.p95_ms:.2f} ms"
        )
    return "\n".join(lines)
