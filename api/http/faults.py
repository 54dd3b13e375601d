"""The faults of a request: every faulty field at once, in plain words.

Litestar and msgspec stop at the first fault, or name Python's types. So this module looks through a refused request
again, field by field. Good requests pay nothing for it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Annotated, ClassVar, Final, NamedTuple, Protocol, TypeAlias

import msgspec
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter, QueryParameter
from msgspec import UNSET, Meta, inspect

from api.schemas.fields import COUNTER_NAME_SCHEMA, ID_SCHEMA, OWN_ID_SCHEMA
from api.schemas.problems import FieldProblem
from counters.values.ids import COUNTER_NAME_RULE, ID_RULE, OWN_ID_RULE

FAULTS_MAX: Final = 20
"""Most faults in one answer: a body has room for thousands of unknown fields."""

_RULES: Final = {
    ID_SCHEMA["pattern"]: ID_RULE,
    OWN_ID_SCHEMA["pattern"]: OWN_ID_RULE,
    COUNTER_NAME_SCHEMA["pattern"]: COUNTER_NAME_RULE,
}
_BODY: Final = "body"


class Update(Protocol):
    """A body that changes something, and may repeat what it cannot change."""

    READ_ONLY: ClassVar[tuple[str, ...]]


class _Field(NamedTuple):
    """A field that a request may have.

    Attributes:
        name: Its name, as callers know it.
        type: Its type, annotated with its bounds.
        required: Whether it must be there.
    """

    name: str
    type: object
    required: bool


_Fields: TypeAlias = Mapping[str, _Field]


class InvalidFieldsError(Exception):
    """A request that cannot be accepted.

    Attributes:
        faults: What is wrong with it; at least one fault.
    """

    def __init__(self, faults: list[FieldProblem]) -> None:
        super().__init__(faults)
        self.faults = faults


def decode_by_field(body: bytes, schema: type[msgspec.Struct]) -> msgspec.Struct:
    """Decode a body that msgspec refused as a whole.

    To JSON Schema, and so to OpenAPI, a number such as 5.0 is an integer; to msgspec it is not. Here it is.

    Raises:
        InvalidFieldsError: It is not JSON or does not fit the schema.
    """
    parts = _split(body)
    fields = _body_fields(schema)
    faults = [*_missing(fields, parts), *_unknown(fields, parts, "field")]
    values: dict[str, object] = {}
    for name, part in parts.items():
        if name in fields:
            try:
                values[name] = _decode_part(part, fields[name])
            except ValueError:
                faults.append(FieldProblem(name, _rule(fields[name].type)))
    if faults:
        raise InvalidFieldsError(faults)
    try:
        return schema(**values)
    except ValueError as error:
        raise InvalidFieldsError([FieldProblem(_BODY, str(error))]) from error


def has_read_only(update: Update) -> bool:
    """Whether an update has fields that cannot be changed."""
    return any(getattr(update, name) is not UNSET for name in update.READ_ONLY)


def refuse_changes(update: Update, now: msgspec.Struct) -> None:
    """Check that the fields that cannot be changed are as they are now.

    Raises:
        InvalidFieldsError: Some are not.
    """
    changed = [name for name in update.READ_ONLY if getattr(update, name) not in (UNSET, getattr(now, name))]
    if changed:
        reason = "cannot be changed, and is {} now; leave it out"
        raise InvalidFieldsError([FieldProblem(name, reason.format(getattr(now, name))) for name in changed])


def find_faults(
    handler: BaseRouteHandler, path: Mapping[str, object], query: Iterable[tuple[str, str]], body: bytes | None
) -> list[FieldProblem]:
    """Return the faults of a request's path, query and body.

    Args:
        handler: The handler that the request is for.
        path: The parameters in the path.
        query: The parameters in the query, in the order given.
        body: The body; None when it was not read.
    """
    faults = [*_find_in_path(handler, path), *find_in_query(handler, query)]
    data = handler.parsed_fn_signature.parameters.get("data")
    if data is not None and body is not None:
        try:
            decode_by_field(body, data.annotation)
        except InvalidFieldsError as error:
            faults += error.faults
    return faults


def query_names(handler: BaseRouteHandler) -> frozenset[str]:
    """Return the query parameters that a handler knows."""
    return frozenset(_parameters(handler, QueryParameter))


def find_in_query(handler: BaseRouteHandler, query: Iterable[tuple[str, str]]) -> list[FieldProblem]:
    """Return the faults of a query's parameters, given in order."""
    fields = _parameters(handler, QueryParameter)
    pairs = list(query)
    times = Counter(name for name, _ in pairs)
    repeated = [FieldProblem(name, "must not be given more than once") for name in times if times[name] > 1]
    bad = _bad_texts(fields, ((name, value) for name, value in pairs if times[name] == 1))
    return [*_missing(fields, times), *_unknown(fields, times, "query parameter"), *repeated, *bad]


def _find_in_path(handler: BaseRouteHandler, path: Mapping[str, object]) -> Iterator[FieldProblem]:
    return _bad_texts(_parameters(handler, PathParameter), ((name, str(value)) for name, value in path.items()))


def _bad_texts(fields: _Fields, texts: Iterable[tuple[str, str]]) -> Iterator[FieldProblem]:
    for name, text in texts:
        if name in fields:
            try:
                _check_pattern(msgspec.convert(text, fields[name].type, strict=False), fields[name])
            except ValueError:
                yield FieldProblem(name, _rule(fields[name].type))


def _missing(fields: _Fields, given: Mapping[str, object]) -> list[FieldProblem]:
    return [FieldProblem(name, "is required") for name, field in fields.items() if field.required and name not in given]


def _unknown(fields: _Fields, given: Mapping[str, object], what: str) -> list[FieldProblem]:
    known = f"the known ones are {', '.join(fields)}" if fields else "there is none here"
    return [FieldProblem(name, f"is not a known {what}; {known}") for name in given if name not in fields]


def _split(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise InvalidFieldsError([FieldProblem(_BODY, "must be a JSON object")]) from error
    except msgspec.DecodeError as error:
        raise InvalidFieldsError([FieldProblem(_BODY, f"is not JSON in UTF-8: {error}")]) from error
    except UnicodeDecodeError as error:
        raise InvalidFieldsError([FieldProblem(_BODY, "is not JSON in UTF-8")]) from error
    except RecursionError as error:
        raise InvalidFieldsError([FieldProblem(_BODY, "is nested too deeply")]) from error


def _decode_part(part: msgspec.Raw, field: _Field) -> object:
    """Return a field's value.

    Raises:
        ValueError: It does not fit the field's type.
        InvalidFieldsError: It is not JSON in UTF-8.
    """
    try:
        value = msgspec.json.decode(part, type=field.type)
    except msgspec.ValidationError:
        value = msgspec.convert(_whole(part), field.type)
    except UnicodeDecodeError as error:
        raise InvalidFieldsError([FieldProblem(_BODY, "is not JSON in UTF-8")]) from error
    return _check_pattern(value, field)


def _whole(part: msgspec.Raw) -> int:
    """Return a number such as 5.0 as a whole number.

    Raises:
        ValueError: The number is not a whole one, or it is text.
    """
    if bytes(part).startswith(b'"'):
        raise ValueError("text")
    number = msgspec.json.decode(part, type=Decimal)
    # Far above any field's bound; a number such as 1e999999999 would take that many digits.
    if not -(2**64) < number < 2**64 or number != number.to_integral_value():
        raise ValueError("no whole number")
    return int(number)


def _check_pattern(value: object, field: _Field) -> object:
    """Return the value if it fits the pattern in its type.

    Types only describe patterns of ids; the core checks those.

    Raises:
        ValueError: It does not.
    """
    pattern = _pattern(field.type)
    if pattern is not None and isinstance(value, str) and re.search(pattern, value) is None:
        raise ValueError("pattern")
    return value


def _pattern(type_: object) -> str | None:
    kind = inspect.type_info(type_)
    return (kind.extra_json_schema or {}).get("pattern") if isinstance(kind, inspect.Metadata) else None


@cache
def _rule(type_: object) -> str:
    """Return what a field of this type must be."""
    kind = inspect.type_info(type_)
    if isinstance(kind, inspect.Metadata):
        if (kind.extra_json_schema or {}).get("readOnly"):
            return "cannot be changed; leave it out"
        kind = kind.type
    rule = _RULES.get(_pattern(type_) or "", "must be text")
    match kind:
        case inspect.IntType(ge=int(least), le=int(most)):
            rule = f"must be a whole number from {least} to {most}"
        case inspect.IntType():
            rule = "must be a whole number"
        case inspect.BoolType():
            rule = "must be true or false"
        case inspect.LiteralType(values=texts):
            rule = f"must be one of {', '.join(map(str, texts))}"
        case inspect.EnumType(cls=values):
            rule = f"must be one of {', '.join(str(value.value) for value in values)}"
        case inspect.StrType(min_length=int(shortest), max_length=int(longest)):
            length = f"{shortest} to {longest} characters"
            rule = f"must be text of {length}, with more than white space and without control characters"
    return rule


@cache
def _body_fields(schema: type[msgspec.Struct]) -> _Fields:
    return {
        field.encode_name: _Field(field.encode_name, field.type, field.required)
        for field in msgspec.structs.fields(schema)
    }


@cache
def _parameters(handler: BaseRouteHandler, place: type[QueryParameter | PathParameter]) -> _Fields:
    """Return the parameters that a handler takes in one place, its path or its query."""
    fields = {}
    for name, definition in handler.parsed_fn_signature.parameters.items():
        kwarg = definition.kwarg_definition
        if isinstance(kwarg, place):
            meta = Meta(ge=kwarg.ge, le=kwarg.le, extra_json_schema=kwarg.schema_extra)
            alias = kwarg.name or name
            fields[alias] = _Field(alias, Annotated[definition.annotation, meta], not definition.has_default)
    return fields
