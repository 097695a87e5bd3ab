"""The resource's types and its CustomResourceDefinition."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from fleet_operator import crd
from fleet_operator.resource import GROUP, KIND, VERSION, FleetpulseClusterSpec

SPEC = {
    "image": "fleetpulse:0.1.0",
    "kafka": {"bootstrap": "kafka:9092"},
    "postgres": {"dsnSecret": "fleetpulse-database"},
}


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from nodes(value)


def schema() -> dict[str, Any]:
    version = crd.custom_resource_definition()["spec"]["versions"][0]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


def test_names_agree() -> None:
    manifest = crd.custom_resource_definition()
    names = manifest["spec"]["names"]
    assert manifest["metadata"]["name"] == f"{names['plural']}.{GROUP}"
    assert (names["kind"], manifest["spec"]["versions"][0]["name"]) == (KIND, VERSION)


def test_schema_is_structural() -> None:
    for node in nodes(schema()):
        assert not {"$ref", "anyOf", "exclusiveMinimum"} & node.keys(), f"refused: {node}"


def test_required_fields_are_those_without_a_default() -> None:
    assert schema()["properties"]["spec"]["required"] == ["image", "kafka", "postgres"]


def test_least_spec_takes_the_defaults() -> None:
    scaling = FleetpulseClusterSpec.model_validate(SPEC).scaling
    assert (scaling.min_shards, scaling.max_shards, scaling.dry_run) == (1, 4, False)


@pytest.mark.parametrize(
    ("scaling", "field"),
    [
        ({"maxShards": 0}, "maxShards"),
        ({"targetUtilization": 1.5}, "targetUtilization"),
        ({"shards": 3}, "shards"),
    ],
)
def test_wrong_spec_names_the_field(scaling: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FleetpulseClusterSpec.model_validate(SPEC | {"scaling": scaling})
    assert caught.value.errors()[0]["loc"] == ("scaling", field)
