"""Swagger UI at ``/swagger``: the page asks no other host for anything."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Final

from litestar import Controller, MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery

_HERE: Final = Path(__file__).parent
_PACKAGE: Final = "swagger_ui"
"""Only static files of this package are used; its code serves frameworks that we do not have."""

_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MEDIA_TYPES: Final = {".css": "text/css", ".js": "text/javascript"}


def _locate(file_name: str) -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"Install swagger-ui-py: there is no package {_PACKAGE}.", name=_PACKAGE)
    return Path(spec.submodule_search_locations[0], "static", file_name)


_ASSETS: Final = {
    path.name: path.read_bytes()
    for path in (_locate("swagger-ui.css"), _locate("swagger-ui-bundle.js"), _HERE / "explorer.js")
}
_PAGE: Final = Template((_HERE / "page.html").read_text()).substitute(
    {
        name.replace("-", "_").replace(".", "_"): f"/swagger/{name}?digest={hashlib.sha256(content).hexdigest()[:16]}"
        for name, content in _ASSETS.items()
    }
)


class ExplorerController(Controller):
    """The page and its assets.

    An asset's address in the page carries a digest of its content, so that browsers may keep it for ever.
    """

    path = "/swagger"
    include_in_schema = False

    @get(media_type=MediaType.HTML)
    async def read_page(self) -> Response[str]:
        """Return the page."""
        return Response(_PAGE, headers={"Cache-Control": "no-cache", "Content-Security-Policy": _SECURITY_POLICY})

    @get("/{name:str}")
    async def read_asset(self, name: FromPath[str], digest: FromQuery[str | None] = None) -> Response[bytes]:  # noqa: ARG002
        """Return one of the page's assets; the digest of its content is there for the browser's cache only."""
        if name not in _ASSETS:
            raise NotFoundException
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(_ASSETS[name], media_type=_MEDIA_TYPES[Path(name).suffix], headers=headers)
