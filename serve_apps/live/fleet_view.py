"""One second's picture of the fleet, and the part of it that a socket asked for."""

import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from actors.live_fleet import FleetSummary, FleetTable
from serve_apps.live.messages import STATES, states_of, summary_fields

Order = Literal["severity", "score", "id"]
ROWS_MAX = 500


@dataclass(frozen=True, slots=True)
class FleetQuery:
    """What a socket wants to see of the fleet."""

    tenant: str
    search: str = ""
    order: Order = "severity"
    limit: int = 200


class FleetPicture:
    """Made once a second, asked by every socket."""

    def __init__(
        self,
        summary: FleetSummary,
        table: FleetTable,
        open_alerts: set[bytes],
        offline: set[bytes],
    ) -> None:
        self._summary = summary_fields(summary)
        self._table = table
        self._states = states_of(table, open_alerts, offline, time.time_ns() // 1000)
        # How far beyond its threshold, so that devices of several profiles can be compared.
        self._excess = np.nan_to_num(table.scores / table.thresholds, nan=-1.0)

    def message(self, query: FleetQuery, watched: AbstractSet[bytes]) -> dict[str, Any]:
        """Summary, counts per state of the tenant's devices, the first rows that match `query`,
        and those of the devices that the socket watches.
        """
        tenant = f"{query.tenant}/".encode()
        keys = self._table.keys
        mine = [row for row, key in enumerate(keys) if key.startswith(tenant)]
        rows = np.array(mine, np.intp)
        counts = np.bincount(self._states[rows], minlength=len(STATES))
        matching = self._matching(rows, query.search, len(tenant))
        shown = matching[self._order(matching, query.order)][: min(query.limit, ROWS_MAX)]
        return {
            "type": "fleet",
            **self._summary,
            "devices": len(rows),
            "states": {state: int(count) for state, count in zip(STATES, counts, strict=True)},
            "matching": len(matching),
            "rows": [self._row(row, len(tenant)) for row in shown.tolist()],
            "watched": [self._row(row, len(tenant)) for row in mine if keys[row] in watched],
        }

    def _matching(self, rows: np.ndarray[Any, Any], search: str, skip: int) -> Any:
        if not search:
            return rows
        wanted = search.lower().encode()
        keys = self._table.keys
        return np.array([row for row in rows if wanted in keys[row][skip:].lower()], np.intp)

    def _order(self, rows: Any, order: Order) -> Any:
        names = np.array([self._table.keys[row] for row in rows.tolist()], object)
        if order == "id" or not len(rows):
            return np.argsort(names, kind="stable")
        by = [names.argsort().argsort(), -self._excess[rows]]
        return np.lexsort([*by, self._states[rows]] if order == "severity" else by)

    def _row(self, row: int, skip: int) -> list[Any]:
        score = float(self._table.scores[row])
        return [
            self._table.keys[row][skip:].decode(),
            STATES[self._states[row]],
            float(f"{score:.4g}"),
            float(f"{self._table.thresholds[row]:.4g}"),
            int(self._table.heard_us[row]) // 1000,
        ]
