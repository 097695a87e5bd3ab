"""`fleetpulse bench smoke`: has anything lost speed?"""

from typing import Annotated

import typer


def smoke(
    *,
    renew: Annotated[
        bool, typer.Option("--renew", help="Write what is measured to benchmarks/smoke.json.")
    ] = False,
) -> None:
    """Our stages against bare loops, as ratios of CPU time; fails where one lost over 25 %."""
    from benchmarks.smoke.frames import frame_pairs
    from benchmarks.smoke.ingest import ingest_pairs
    from benchmarks.smoke.race import LOSS_MAX, Result, load_ratios, race, save_ratios
    from benchmarks.smoke.shard import shard_pairs

    def show(result: Result) -> None:
        was = f"{result.committed:.2f}, {result.loss:+.0%}" if result.committed else "new"
        mark = "✗" if result.lost and not renew else "✓"
        print(f"{mark} {result.name:24} {result.ratio:6.2f} × the bare loop (was {was})")

    pairs = [*frame_pairs(), *shard_pairs(), *ingest_pairs()]
    results = race(pairs, {} if renew else load_ratios(), show=show)
    if renew:
        save_ratios(results)
        return
    lost = [each.name for each in results if each.lost]
    if lost:
        print(
            f"more than {LOSS_MAX:.0%} slower than benchmarks/smoke.json, or not in it:"
            f" {', '.join(lost)}; if it is meant so: fleetpulse bench smoke --renew"
        )
    raise typer.Exit(1 if lost else 0)
