"""Configuration that travels in the log: profiles and assignments of one partition."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from google.protobuf.message import DecodeError

from fleetpulse.errors import ConfigError, InputError
from fleetpulse.identity import DeviceKey
from fleetpulse.profile import Profile, profile_from_yaml
from fleetpulse.telemetry_pb2 import Control

SEEN_MAX = 10_000
"""Control ids remembered per partition; the oldest are forgotten."""
ANY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """Devices whose tenant and id match take this profile; revision 0 is the newest known."""

    tenant: str
    device_pattern: str
    profile: str
    revision: int


@dataclass(slots=True)
class ControlState:
    """What the control records of one partition add up to."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    seen: dict[str, None] = field(default_factory=dict)

    def apply(self, value: bytes) -> bool:
        """Take a control record; False if it was seen before. Raises InputError or ConfigError."""
        try:
            control = Control.FromString(value)
        except DecodeError as error:
            raise InputError("control", "is not a Control message") from error
        if not control.id:
            raise InputError("id", "must not be empty")
        if control.id in self.seen:
            return False
        change = control.WhichOneof("change")
        if change == "profile_yaml":
            profile = profile_from_yaml(control.profile_yaml, source=f"control {control.id}")
            if self.profiles.setdefault(profile.ref, profile) != profile:
                raise ConfigError(f"profile {profile.ref} is already known with other content")
        elif change == "assignment":
            self._assign(control)
        else:
            raise InputError("change", "is not known to this version")
        self.seen[control.id] = None
        if len(self.seen) > SEEN_MAX:
            del self.seen[next(iter(self.seen))]
        return True

    def _assign(self, control: Control) -> None:
        a = control.assignment
        rule = Rule(a.tenant or ANY, a.device_pattern or ANY, a.profile, a.profile_revision)
        if self._profile(rule) is None:
            raise ConfigError(f"assignment to unknown profile {rule.profile}@{rule.revision}")
        self.rules = [r for r in self.rules if not _same_devices(r, rule)]
        self.rules.append(rule)

    def profile_of(self, key: DeviceKey) -> Profile | None:
        """The profile of the newest rule that matches."""
        for rule in reversed(self.rules):
            if rule.tenant in (ANY, key.tenant) and fnmatchcase(key.device, rule.device_pattern):
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
            "seen": list(self.seen),
        }

    @classmethod
    def load(cls, exported: dict[str, object]) -> "ControlState":
        """From an export."""
        state = cls()
        profiles, rules, seen = (exported[k] for k in ("profiles", "rules", "seen"))
        assert isinstance(profiles, list)
        assert isinstance(rules, list)
        assert isinstance(seen, list)
        state.profiles = {p.ref: p for p in map(Profile.model_validate, profiles)}
        state.rules = [Rule(*rule) for rule in rules]
        state.seen = dict.fromkeys(seen)
        return state


def _same_devices(a: Rule, b: Rule) -> bool:
    return (a.tenant, a.device_pattern) == (b.tenant, b.device_pattern)
