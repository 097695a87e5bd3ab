"""`POST /telemetry` in the API's documentation. The ingest itself has no framework."""

from typing import Any, Final

from fastapi import FastAPI

_ERROR: Final = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "field": {"type": "string", "example": "metrics.vib_x"},
                "reason": {"type": "string", "example": "must be a finite number"},
                "index": {"type": "integer", "description": "which record of the request"},
            },
        }
    },
}
_SAMPLE: Final = {
    "type": "object",
    "required": ["device_id", "ts", "metrics"],
    "additionalProperties": False,
    "properties": {
        "device_id": {"type": "string", "example": "pump-7"},
        "ts": {
            "oneOf": [{"type": "number"}, {"type": "string", "format": "date-time"}],
            "description": "epoch milliseconds or RFC 3339",
        },
        "metrics": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "example": {"vib_x": 0.42, "temperature_c": 61.5},
        },
    },
}
_REFUSALS: Final = {
    "400": "not JSON, or not protobuf",
    "408": "the body came too slowly",
    "413": "the body is too large",
    "415": "unknown content type or encoding",
    "422": "a value is wrong: the field is named",
    "429": (
        "a device sends more than its profile allows: its records, named by index in `refused`, "
        "are to be sent again after `Retry-After` seconds; the other records are durable"
    ),
    "503": "try again after `Retry-After` seconds; nothing, or all, may be in the log",
}
_OPERATION: Final = {
    "summary": "Send telemetry",
    "description": (
        "One sample or a list as JSON; a Telemetry, SampleBlock or Batch message as protobuf. "
        "All of a request is accepted or none. 202 means that the log has it on every replica."
    ),
    "parameters": [
        {
            "name": "x-tenant",
            "in": "header",
            "schema": {"type": "string", "default": "default"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_SAMPLE, {"type": "array", "items": _SAMPLE}]}
            },
            "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "responses": {
        "202": {
            "description": "durable",
            "content": {
                "application/json": {
                    "schema": {"type": "object", "properties": {"accepted": {"type": "integer"}}}
                }
            },
        },
        **{
            status: {
                "description": description,
                "content": {"application/json": {"schema": _ERROR}},
            }
            for status, description in _REFUSALS.items()
        },
    },
}


def describe_ingest(app: FastAPI) -> None:
    """Add it to what `app` tells of itself."""
    own = app.openapi

    def openapi() -> dict[str, Any]:
        schema = own()
        schema["paths"].setdefault("/telemetry", {"post": _OPERATION})
        return schema

    vars(app)["openapi"] = openapi
