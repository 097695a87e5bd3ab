"""A device that leaves its cohort closes its open alert; nothing else of it is owed."""

from fleetpulse.alerts import Transition
from fleetpulse.cohort import Cohort
from fleetpulse.effects import Effects
from fleetpulse.outcome import alert_event


def retire(effects: Effects, cohort: Cohort, row: int) -> None:
    """Clear the device's open alert at its last scored window."""
    alerts = cohort.alerts
    if not alerts.open[row]:
        return
    transition = Transition(
        row,
        "cleared",
        int(alerts.score_us[row]),
        int(alerts.raised_us[row]),
        int(alerts.raised_start_us[row]),
        float(alerts.score[row]),
        float(alerts.peak[row]),
    )
    effects.alerts.append(alert_event(cohort, transition))
