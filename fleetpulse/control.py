"""Configuration that travels in the log: profiles and assignments of one partition."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache

from google.protobuf.message import DecodeError

from fleetpulse.errors import ConfigError, InputError, Refused
from fleetpulse.identity import DeviceKey, check_name
from fleetpulse.profile import Profile, profile_from_yaml
from fleetpulse.snapshot import FIRST_RESULT_VERSION
from fleetpulse.telemetry_pb2 import Control

Resolved = list[tuple["Rule", Profile | None]]
"""Rules, oldest first, with the profiles that they stand for."""
LASTING = frozenset({"profile_yaml", "assignment", "pause", "result_version"})
"""Changes that say what holds from here on; they are sent again at every start, in their order.
Others are acts: repeating one would do it again.
"""
SEEN_MAX = 10_000
"""Ids of acts remembered per partition; the oldest are forgotten. Those of lasting changes never:
sent again they would come after what has been decided since.
"""
ANY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """Devices whose tenant and id match take this profile; revision 0 is the newest known."""

    tenant: str
    device_pattern: str
    profile: str
    revision: int


@dataclass(frozen=True, slots=True)
class PauseRule:
    """Records of devices whose tenant and id match are processed, or are not."""

    tenant: str
    device_pattern: str
    paused: bool


@dataclass(slots=True)
class ControlState:
    """What the control records of one partition add up to."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    pauses: list[PauseRule] = field(default_factory=list)
    seen: dict[str, None] = field(default_factory=dict)
    """Ids of acts."""
    lasting: dict[str, None] = field(default_factory=dict)
    """Ids of lasting changes."""
    result_version: int = FIRST_RESULT_VERSION

    def apply(self, value: bytes) -> Control | None:
        """Take a control record and answer it; None if it was seen before.

        Raises InputError or ConfigError, and then nothing has changed.
        """
        try:
            control = Control.FromString(value)
        except DecodeError as error:
            raise InputError("control", "is not a Control message") from error
        if not control.id:
            raise InputError("id", "must not be empty")
        lasts = control.WhichOneof("change") in LASTING
        if control.id in self.seen or control.id in self.lasting:
            if lasts:
                self.lasting[control.id] = None  # a former release had them together
            return None
        self._change(control)
        if lasts:
            self.lasting[control.id] = None
            return control
        self.seen[control.id] = None
        if len(self.seen) > SEEN_MAX:
            del self.seen[next(iter(self.seen))]
        return control

    def _change(self, control: Control) -> None:
        match control.WhichOneof("change"):
            case "profile_yaml":
                self._learn(control)
            case "assignment":
                self._assign(control)
            case "pause":
                self._pause(control)
            case "forget":
                DeviceKey(control.forget.tenant, control.forget.device_id).check()
            case "savepoint":
                check_name("name", control.savepoint.name)
            case "result_version":
                if not control.result_version.version:
                    raise InputError("version", "begins at 1")
                self.result_version = control.result_version.version
            case _:
                raise InputError("change", "is not known to this version")

    def _learn(self, control: Control) -> None:
        profile = profile_from_yaml(control.profile_yaml, source=f"control {control.id}")
        if self.profiles.setdefault(profile.ref, profile) != profile:
            raise ConfigError(f"profile {profile.ref} is already known with other content")

    def _assign(self, control: Control) -> None:
        a = control.assignment
        rule = Rule(a.tenant or ANY, a.device_pattern or ANY, a.profile, a.profile_revision)
        if self._profile(rule) is None:
            raise ConfigError(f"assignment to unknown profile {rule.profile}@{rule.revision}")
        self.rules = [r for r in self.rules if not _same_devices(r, rule)]
        self.rules.append(rule)

    def _pause(self, control: Control) -> None:
        p = control.pause
        rule = PauseRule(p.tenant or ANY, p.device_pattern or ANY, p.paused)
        self.pauses = [r for r in self.pauses if not _same_devices(r, rule)]
        self.pauses.append(rule)
        if not any(each.paused for each in self.pauses):
            self.pauses = []  # nothing is paused: what was need not be remembered

    def is_paused(self, key: bytes) -> bool:
        """Whether the newest rule that matches the record key says so."""
        newest = (rule.paused for rule in reversed(self.pauses) if _pattern(rule).match(key))
        return next(newest, False)

    def applied(self, value: bytes) -> tuple["ControlState", Control | None]:
        """What `apply` would make of a copy, and answer; None if the record cannot be used."""
        copy = ControlState(
            dict(self.profiles),
            list(self.rules),
            list(self.pauses),
            dict(self.seen),
            dict(self.lasting),
            self.result_version,
        )
        try:
            return copy, copy.apply(value)
        except Refused:
            return self, None

    def resolved(self) -> Resolved:
        """The rules with their profiles: while they are equal, so is every device's profile."""
        return [(rule, self._profile(rule)) for rule in self.rules]

    def profile_of(self, key: bytes) -> Profile | None:
        """The profile of the newest rule that matches the record key."""
        for rule in reversed(self.rules):
            if _pattern(rule).match(key):
                return self._profile(rule)
        return None

    def _profile(self, rule: Rule) -> Profile | None:
        if rule.revision:
            return self.profiles.get(f"{rule.profile}@{rule.revision}")
        known = [p for p in self.profiles.values() if p.name == rule.profile]
        return max(known, key=lambda p: p.revision, default=None)

    def export(self) -> dict[str, object]:
        """JSON-able form."""
        return {
            "profiles": [profile.model_dump(mode="json") for profile in self.profiles.values()],
            "rules": [[r.tenant, r.device_pattern, r.profile, r.revision] for r in self.rules],
            "pauses": [[r.tenant, r.device_pattern, r.paused] for r in self.pauses],
            "seen": list(self.seen),
            "lasting": list(self.lasting),
            "result_version": self.result_version,
        }

    @classmethod
    def load(cls, exported: dict[str, object]) -> "ControlState":
        """From an export; what a former release did not export is empty."""
        state = cls()
        names = ("profiles", "rules", "pauses", "seen", "lasting")
        profiles, rules, pauses, seen, lasting = (exported.get(name, []) for name in names)
        assert isinstance(profiles, list)
        assert isinstance(rules, list)
        assert isinstance(pauses, list)
        assert isinstance(seen, list)
        assert isinstance(lasting, list)
        state.profiles = {p.ref: p for p in map(Profile.model_validate, profiles)}
        state.rules = [Rule(*rule) for rule in rules]
        state.pauses = [PauseRule(*rule) for rule in pauses]
        state.seen = dict.fromkeys(seen)
        state.lasting = dict.fromkeys(lasting)
        version = exported.get("result_version", FIRST_RESULT_VERSION)
        assert isinstance(version, int)
        state.result_version = version
        return state


def may_differ(before: Resolved, after: Resolved) -> list[Rule]:
    """Rules of which one matches each device whose profile one control record may have changed.

    Such a record changes what rules stand for, takes one away and adds one at the end. Only who
    matches one of those can be another's; asking all rules about all devices takes seconds.
    """
    was, now = dict(before), dict(after)
    changed = [rule for rule in {**was, **now} if was.get(rule) is not now.get(rule)]
    if after and before[-1:] != after[-1:]:
        changed.append(after[-1][0])  # it may have been there, in another place
    return changed


def matching(rules: Sequence[Rule | PauseRule], keys: Sequence[bytes]) -> list[bool]:
    """Which of the record keys at least one rule matches."""
    if not rules:
        return [False] * len(keys)
    match = re.compile(b"|".join(_pattern(rule).pattern for rule in rules)).match
    return [match(key) is not None for key in keys]


def _pattern(rule: Rule | PauseRule) -> "re.Pattern[bytes]":
    return _compiled(rule.tenant, rule.device_pattern)


@lru_cache(maxsize=SEEN_MAX)
def _compiled(tenant: str, device_pattern: str) -> "re.Pattern[bytes]":
    tenants = "[^/]*" if tenant == ANY else re.escape(tenant)
    return re.compile(f"(?:{tenants}/{translate(device_pattern)})".encode())


def _same_devices(a: Rule | PauseRule, b: Rule | PauseRule) -> bool:
    return (a.tenant, a.device_pattern) == (b.tenant, b.device_pattern)
