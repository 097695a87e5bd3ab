"""An engine's partition as a PartitionSnapshot, and back."""

from fleetpulse.columns import Arrays, under
from fleetpulse.control import ControlState
from fleetpulse.engine import Engine, PartitionState
from fleetpulse.profile import Profile
from fleetpulse.snapshot import RESULT_VERSION, PartitionSnapshot


def export_partition(
    engine: Engine, partition: int, *, next_offset: int, topic_id: str
) -> PartitionSnapshot:
    """A copy of everything the engine holds of a partition; call it between batches."""
    state = engine.partitions[partition]
    arrays: Arrays = {}
    cohorts: list[dict[str, object]] = []
    for cohort in engine.directory.cohorts:
        rows = cohort.rows_of(partition)
        if not len(rows):
            continue
        prefix = f"{len(cohorts)}/"
        arrays |= {prefix + name: values for name, values in cohort.export(rows).items()}
        cohorts.append(
            {
                "profile": cohort.profile.model_dump(mode="json"),
                "keys": [cohort.keys[row].decode() for row in rows.tolist()],
            }
        )
    return PartitionSnapshot(
        partition=partition,
        next_offset=next_offset,
        topic_id=topic_id,
        result_version=RESULT_VERSION,
        meta={
            "control": state.control.export(),
            "log_time_us": state.log_time_us,
            "cohorts": cohorts,
        },
        arrays=arrays,
    )


def import_partition(engine: Engine, partition: int, snapshot: PartitionSnapshot | None) -> None:
    """Take over a partition, from its snapshot or from nothing; what was held of it is dropped."""
    drop_partition(engine, partition)
    if snapshot is None:
        engine.partitions[partition] = PartitionState()
        return
    meta = snapshot.meta
    control, log_time_us, cohorts = meta["control"], meta["log_time_us"], meta["cohorts"]
    assert isinstance(control, dict)
    assert isinstance(log_time_us, int)
    assert isinstance(cohorts, list)
    engine.partitions[partition] = PartitionState(ControlState.load(control), log_time_us)
    for number, saved in enumerate(cohorts):
        profile = Profile.model_validate(saved["profile"])
        directory = engine.directory
        keys = [key.encode() for key in saved["keys"]]
        handles = [directory.add(key, partition, profile) for key in keys]
        cohort = directory.cohorts[directory.cohort_id(profile)]
        cohort.load(directory.row_of[handles], under(f"{number}/", snapshot.arrays))


def drop_partition(engine: Engine, partition: int) -> None:
    """Forget a partition that belongs to another shard now."""
    engine.directory.remove(engine.directory.keys_of(partition))
    engine.partitions.pop(partition, None)
