"""Starts the parts in order, stops them in the reverse order within one deadline."""

import dataclasses
import time
from collections.abc import Callable, Sequence

from devstack.part import Lost, Part
from devstack.state import PartState, Phase, StackState
from fleetpulse.errors import FleetpulseError
from fleetpulse.settings import Settings

STOP_TIMEOUT_S = 10.0
PROBLEMS_MAX = 20


class Stack:
    """Owns the parts. `report` sees every change of the state."""

    def __init__(
        self, parts: Sequence[Part], state: StackState, report: Callable[[StackState], None]
    ) -> None:
        self._parts = parts
        self._touched: list[Part] = []
        self._given: list[Settings] = []
        """What each part was started with."""
        self._lost_from: int | None = None
        """The first of the parts that must be started anew."""
        self._report = report
        self.state = state

    def start(self, settings: Settings) -> Settings:
        """Start every part; returns the settings completed by what they told."""
        for part in self._parts:
            self._touched.append(part)
            self._given.append(settings)
            settings = self._start(part, settings)
        self._change(phase="ready")
        return settings

    def _start(self, part: Part, settings: Settings) -> Settings:
        began = time.monotonic()
        self._part(part, "starting")
        started = part.start(settings)
        self._change(ray_address=started.ray_address or self.state.ray_address)
        self._part(part, "ready", started.detail, time.monotonic() - began)
        return started.settings

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop what was started, newest first; a part that fails to does not hold up the others."""
        deadline = time.monotonic() + timeout_s
        self._change(phase="stopping")
        while self._touched:
            part = self._touched.pop()
            # Each part leaves half a second to every part that stops after it.
            left = deadline - time.monotonic() - 0.5 * len(self._touched)
            try:
                part.stop(max(0.5, left))
                self._part(part, "stopped")
            except Exception as error:  # noqa: BLE001  # the others must still be stopped
                self.tell(f"{part.name} did not stop cleanly: {error}")
                self._part(part, "failed", str(error))

    def tend(self) -> None:
        """Start parts again that ended, and say so."""
        self._renew()
        for at, part in enumerate(self._parts[: self._lost_from]):
            try:
                happened = part.tend()
            except Lost as lost:
                happened = str(lost)
                self._lost_from = at
            except FleetpulseError as error:
                happened = str(error)
            if happened:
                self.tell(happened)
        self._renew()

    def _renew(self) -> None:
        """Start the lost parts; whatever fails is tried again with the next tending."""
        if self._lost_from is None:
            return
        for part in reversed(self._parts[self._lost_from :]):
            part.abandon()
        while self._lost_from < len(self._parts):
            part = self._parts[self._lost_from]
            try:
                self._start(part, self._given[self._lost_from])
            except FleetpulseError as error:
                self.tell(f"{part.name} was not started again: {error}")
                self._part(part, "failed", str(error))
                return
            self._lost_from += 1
        self._lost_from = None

    def tell(self, problem: str) -> None:
        """Add a line to what went wrong; the oldest is forgotten."""
        self._change(problems=(*self.state.problems, problem)[-PROBLEMS_MAX:])

    def finish(self, phase: Phase) -> None:
        """The last state."""
        self._change(phase=phase)

    def _part(self, part: Part, phase: Phase, detail: str = "", seconds: float = 0.0) -> None:
        old = next((each for each in self.state.parts if each.name == part.name), None)
        if old and phase in ("stopping", "stopped"):
            detail, seconds = old.detail, old.seconds
        new = PartState(part.name, phase, detail, round(seconds, 2))
        others = [each for each in self.state.parts if each.name != part.name]
        order = [each.name for each in self._parts]
        self._change(parts=tuple(sorted([*others, new], key=lambda each: order.index(each.name))))

    def _change(self, **changes: object) -> None:
        self.state = dataclasses.replace(self.state, **changes)  # type: ignore[arg-type]
        self._report(self.state)
