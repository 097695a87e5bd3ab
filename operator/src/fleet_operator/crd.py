"""The CustomResourceDefinition, made from the resource's types so that the two cannot disagree."""

from typing import Any

import yaml
from pydantic import BaseModel

from fleet_operator.resource import (
    GROUP,
    KIND,
    VERSION,
    FleetpulseClusterSpec,
    FleetpulseClusterStatus,
)

BOUNDS = {"rule": "self.minShards <= self.maxShards", "message": "minShards exceeds maxShards"}


def custom_resource_definition() -> dict[str, Any]:
    """The manifest, as the API server takes it."""
    spec, status = structural(FleetpulseClusterSpec), structural(FleetpulseClusterStatus)
    spec["properties"]["scaling"]["x-kubernetes-validations"] = [BOUNDS]
    names = {
        "kind": KIND,
        "listKind": f"{KIND}List",
        "singular": KIND.lower(),
        "shortNames": ["fp"],
    }
    plural = f"{KIND.lower()}s"
    schema = {
        "type": "object",
        "required": ["spec"],
        "properties": {"spec": spec, "status": status},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, **names},
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": "Shards", "type": "integer", "jsonPath": ".status.shards"},
                        {"name": "Decision", "type": "string", "jsonPath": ".status.decision"},
                    ],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def to_yaml() -> str:
    """The text of operator/crds/fleetpulsecluster.yaml."""
    return yaml.safe_dump(custom_resource_definition(), sort_keys=False)


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema in the structural form that Kubernetes asks for: no references."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    inlined: dict[str, Any] = _inline(schema, definitions)
    return inlined


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        own = {key: value for key, value in node.items() if key != "$ref"}
        return _inline(target | own, definitions)
    # `title` repeats the name; unknown fields are pruned by the API server.
    dropped = {"additionalProperties"} | (
        {"title"} if isinstance(node.get("title"), str) else set()
    )
    return {key: _inline(value, definitions) for key, value in node.items() if key not in dropped}
