"""Logs: one JSON object a line on stderr, or something prettier where a person looks on."""

import contextlib
import json
import logging
import sys
from collections.abc import Mapping
from typing import cast

import orjson

from sluice.runtime.left_out import left_out
from sluice.runtime.printable import printable
from sluice.runtime.redact import redact

with left_out("rich"):  # for traces in colour, which are not drawn here: 3 MiB of each service
    import structlog
    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

_MESSAGE_CHARACTERS = 2_000
_TRACE_CHARACTERS = 16_000


def configure(service_name: str, level: str) -> None:
    """Send the logs of this process, those of libraries too, to stderr with secrets taken out."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=_processors(service_name),
        wrapper_class=_logger_class(threshold),
        logger_factory=_StderrLogger,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(threshold, logging.INFO), handlers=[_LibraryHandler()], force=True)


def _logger_class(threshold: int) -> type[FilteringBoundLogger]:
    """A logger that says in a line of its own what could not be logged, instead of raising."""
    filtering: type[structlog.BoundLoggerBase] = structlog.make_filtering_bound_logger(threshold)  # type: ignore[assignment]  # it is one, and structlog declares its protocol

    class Logger(filtering):  # type: ignore[misc, valid-type]  # mypy knows no class that a function made
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **event_kw: object) -> object:
            try:
                return super()._proxy_to_logger(method_name, event, **event_kw)
            except structlog.DropEvent:
                raise
            except Exception as error:  # noqa: BLE001  a log line must never break the work it tells of
                _say_unloggable(event, error)
                return None

    return cast("type[FilteringBoundLogger]", Logger)


def _say_unloggable(event: object, error: Exception) -> None:
    fields = {"event": "log_line_broke", "of": redact(str(event), limit=200), "error": type(error).__name__}
    with contextlib.suppress(Exception):
        _StderrLogger().error(json.dumps(fields))


class _StderrLogger:
    """Writes whole lines to what stderr is at that moment."""

    def __init__(self, *_: object) -> None:
        """Structlog passes what ``get_logger`` was called with; there is nothing to configure."""

    def _write(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()  # where nothing protects it, in a command or a test

    msg = debug = info = warning = error = critical = exception = log = _write


def get_logger() -> FilteringBoundLogger:
    """The logger: ``log.info("event_processed", event_id=…)``, a static name and identifiers beside it."""
    return cast("FilteringBoundLogger", structlog.get_logger())


def _processors(service_name: str) -> list[Processor]:
    def name_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {"service": service_name, **event}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        _redact_values,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if sys.stderr.isatty():
        return [*shared, _one_line, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [*shared, name_service, _render_json]


def _one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """On a terminal a newline inside a value would be a line of its own; JSON escapes it."""
    return {
        name: printable(value) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _redact_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {
        name: redact(value, limit=_TRACE_CHARACTERS if name == "exception" else _MESSAGE_CHARACTERS)
        if isinstance(value, str)
        else _redact_object(value)
        for name, value in event.items()
    }


def _redact_object(value: object) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): _redact_object(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redact_object(item) for item in value]
        case _:
            return redact(str(value))


class _LibraryHandler(logging.Handler):
    """Writes what libraries log through the standard library, in our format."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            get_logger().log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
        except Exception as error:  # noqa: BLE001  arguments that do not fit their message
            _say_unloggable(record.msg, error)
