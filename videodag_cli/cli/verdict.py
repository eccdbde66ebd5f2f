"""Where a run's time went, and what to do about it."""

from __future__ import annotations

from videodag_cli.run.record import RunRecord


def _shares(record: RunRecord) -> dict[str, float]:
    """Part of the run -> how much of the time it could have worked it did: 1 means it held everything up."""
    wall = max(record.wall_time_s, 1e-9)
    shares = {"decode": (record.profile.get("decode", 0.0) + record.profile.get("convert", 0.0)) / wall}
    for name, timing in record.nodes.items():
        own = record.profile.get(f"node {name}", 0.0)
        shares[f"node {name}"] = own / (wall * (record.workers if timing.stateless else 1))
    shares["write"] = record.profile.get("write", 0.0) / wall
    return shares


def bottleneck(record: RunRecord) -> str:
    """One sentence that a user can act on."""
    if record.wall_time_s <= 0 or not record.profile:
        return ""
    shares = _shares(record)
    name, share = max(shares.items(), key=lambda item: item[1])
    percent = min(100, round(100 * share))
    if percent < 25:
        return f"bottleneck: starting up; the busiest part, {name}, took {percent} % of wall"
    return f"bottleneck: {name} ({percent} % of wall){_advice(record, name)}"


def _advice(record: RunRecord, name: str) -> str:
    sampling = record.request.sampling
    if name == "decode":
        if sampling.get("keyframes"):
            return "; nothing cheaper than keyframes is left to decode"
        return "; try --keyframes or a larger --every"
    if name == "write":
        return "; write to a faster disk"
    node = name.removeprefix("node ")
    timing = record.nodes.get(node)
    if timing is not None and not timing.stateless:
        return "; it sees the frames in order, so only fewer frames (--every) or less work per frame help"
    return f"; more CPUs (--workers, now {record.workers}), fewer frames or less work per frame help"


def profile_table(record: RunRecord) -> str:
    """Seconds and share of wall time per part, the slowest first."""
    wall = max(record.wall_time_s, 1e-9)
    rows = sorted(record.profile.items(), key=lambda item: -item[1])
    width = max(len(name) for name in [*record.profile, "wall"])
    lines = [
        f"{'part':<{width}}  {'seconds':>8}  {'of wall':>7}  {'calls':>7}  {'mean ms':>8}  {'p50 ms':>8}  {'p95 ms':>8}"
    ]
    for name, seconds in rows:
        line = f"{name:<{width}}  {seconds:8.3f}  {100 * seconds / wall:6.1f}%"
        timing = record.nodes.get(name.removeprefix("node "))
        if timing is not None and name.startswith("node "):
            line += f"  {timing.count:7d}  {timing.mean_ms:8.3f}  {timing.p50_ms:8.3f}  {timing.p95_ms:8.3f}"
        lines.append(line)
    lines.append(f"{'wall':<{width}}  {wall:8.3f}")
    return "\n".join(lines)
