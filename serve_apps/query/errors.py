"""Every refusal in one shape: {"error": {"field": …, "reason": …}}."""

import math

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from fleetpulse.errors import InputError, RetryLater


def answer_errors(app: FastAPI) -> None:
    """Install the handlers."""
    app.add_exception_handler(InputError, _input_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RetryLater, _retry_later)


def _refusal(status: int, field: str, reason: str, **headers: str) -> JSONResponse:
    body = {"error": {"field": field, "reason": reason}}
    return JSONResponse(body, status, {name.replace("_", "-"): v for name, v in headers.items()})


async def _input_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    return _refusal(error.status, error.field, error.reason)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _refusal(422, str(first["loc"][-1]), str(first["msg"]))


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _refusal(error.status_code, "", str(error.detail))


async def _retry_later(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RetryLater)
    return _refusal(503, "", str(error), retry_after=str(math.ceil(error.retry_after_s)))
