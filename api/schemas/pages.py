"""The two query parameters that every list takes."""

from typing import Annotated, TypeAlias

from litestar.params import QueryParameter

from counters.values.pages import CURSOR_LENGTH_MAX, PAGE_LIMIT_MAX

PageLimit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=PAGE_LIMIT_MAX, description="Most items to return.")]
Cursor: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        description="The `next_cursor` of the page before; leave out for the first page.",
        schema_extra={"minLength": 1, "maxLength": CURSOR_LENGTH_MAX},
    ),
]
