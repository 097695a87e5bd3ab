"""Alerts against the truth, and the reports that tell it."""

import json

from simulator.fleet import Fleet, FleetSpec
from simulator.latency import LatencyHistogram
from simulator.pacing import Run
from simulator.replay_report import ReplayReport
from simulator.report import Report, illnesses
from simulator.schedule import FaultPlan
from simulator.tally import Tally
from simulator.transport import TransportTruth
from simulator.verdict import Alert, Illness, Kind, judge

SECOND_US = 1_000_000


def test_an_alert_meets_an_illness_of_its_device_within_the_grace() -> None:
    ill = [
        Illness("a", "drift", 10 * SECOND_US, 20 * SECOND_US),
        Illness("a", "stuck", 40 * SECOND_US, 50 * SECOND_US),
        Illness("b", "drift", 10 * SECOND_US, 20 * SECOND_US),
    ]
    alerts = [
        Alert("a", 11_500_000, 5.0),
        Alert("a", 21 * SECOND_US, 5.0),
        Alert("b", 22 * SECOND_US, 5.0),
        Alert("a", 30 * SECOND_US, 5.0),
        Alert("c", 15 * SECOND_US, 5.0),
    ]
    verdict = judge(ill, alerts, grace_us=2 * SECOND_US)
    assert verdict.kinds == {
        "drift": Kind(begun=2, met=1, seconds_p50=1.5),
        "stuck": Kind(begun=1, met=0, seconds_p50=None),
    }
    assert verdict.kinds["drift"].missed == 1
    assert [alert.raised_us for alert in verdict.false_alerts] == [
        22 * SECOND_US,
        30 * SECOND_US,
        15 * SECOND_US,
    ]


def test_an_illness_at_the_very_end_cannot_be_missed_but_explains_its_alert() -> None:
    late = [Illness(name, "drift", 0, 9, noticeable=False) for name in "ab"]
    verdict = judge(late, [Alert("a", 5, 4.0)], grace_us=0)
    assert verdict.kinds["drift"].begun == verdict.kinds["drift"].met == 1
    assert not verdict.false_alerts


def test_an_illness_is_told_in_event_time() -> None:
    plan = FaultPlan(probability=1.0)
    fleet = Fleet(FleetSpec(devices=7, faults=plan), start_us=SECOND_US)
    told = illnesses(fleet, rounds=600, noticeable_samples=0)
    assert len(told) == 7
    episode, illness = fleet.episodes(600)[3], told[3]
    device = int(illness.device_id.removeprefix("machine-"))
    assert device == episode.device == 3
    assert illness.start_us == SECOND_US + (device + episode.first_sample) * 5000
    last_began = max(each.first_sample for each in fleet.episodes(600))
    rounds = last_began // 20 + 1
    told = illnesses(fleet, rounds, noticeable_samples=40)
    assert sum(illness.noticeable for illness in told) == len(told) - 1


def test_a_report_counts_in_text_and_json() -> None:
    tally = Tally()
    tally.add_sent(1000)
    tally.add_accepted(800, 0.010)
    tally.add_refused(200, "422 ts: is old")
    verdict = judge([Illness("a", "drift", 0, 9)], [Alert("a", 5, 4.0)], grace_us=0)
    report = Report(
        devices=2,
        run=Run(rounds=5, seconds=0.5, behind_ms_max=1.0),
        counts=tally.counts(),
        transport=TransportTruth(late=3),
        verdict=verdict,
    )
    text = report.to_text()
    assert "1,000 samples sent (2,000/s), 800 accepted, 200 refused, 0 failed" in text
    assert "1 × 422 ts: is old" in text
    assert "3 late" in text
    assert "drift: 1 of 1 met" in text
    told = json.loads(json.dumps(report.to_json()))
    assert told["samples"] == {"sent": 1000, "accepted": 800, "refused": 200, "failed": 0}
    assert told["faults"]["drift"]["missed"] == told["false_alerts"] == 0


def test_percentiles_are_within_a_step_of_the_truth() -> None:
    histogram = LatencyHistogram()
    for millisecond in range(1, 1001):
        histogram.add(millisecond / 1000)
    told = histogram.milliseconds()
    assert told["max"] == 1000
    for name, truth in (("p50", 500), ("p90", 900), ("p99", 990)):
        assert truth <= told[name] <= 1.025 * truth
    assert LatencyHistogram().milliseconds() == {}


def test_a_replay_says_which_windows_were_met_and_which_alerts_are_false() -> None:
    report = ReplayReport(
        device_id="pump-1",
        profile="nab-5min@1",
        samples=10,
        shift_us=0,
        seconds=1.0,
        alerts=[Alert("pump-1", 10 * SECOND_US, 4.0), Alert("pump-1", 99 * SECOND_US, 4.0)],
        labels=[(5 * SECOND_US, 10 * SECOND_US), (20 * SECOND_US, 30 * SECOND_US)],
    )
    assert report.met == [True, False]
    assert "1 of 2 labelled windows met, 1 false alerts" in report.to_text()
    assert "1970-01-01 00:01:39  score 4.00  outside of every labelled window" in report.to_text()
    told = report.to_json()
    assert (told["windows_met"], told["false_alerts"]) == (1, 1)
    assert [alert["false"] for alert in told["alerts"]] == [False, True]
