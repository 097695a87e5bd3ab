"""Serves the page at `/`. Nothing on it comes from elsewhere, and the browser is told so."""

import importlib.util
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from fleetpulse.errors import SetupError

FOLDER: Final = Path(__file__).parent / "files"
POLICY: Final = "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:"


def add_page(app: FastAPI) -> None:
    """Mount the page and its files."""
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}
        return FileResponse(FOLDER / "index.html", headers=headers)

    app.include_router(router)
    app.mount("/page", StaticFiles(directory=FOLDER), name="page")
    app.mount("/uplot", StaticFiles(directory=_uplot_folder()), name="uplot")


def _uplot_folder() -> Path:
    package = importlib.util.find_spec("uplot")
    if package is None or not package.submodule_search_locations:
        raise SetupError("the package uplot-python is missing", remedy="run `make setup`")
    return Path(package.submodule_search_locations[0]) / "static"
