"""NATS users: each service may publish and subscribe to what it calls, a person to everything."""

from collections.abc import Mapping, Sequence

PERSON = "sluice"
"""May do all: the address in ``stack.env``."""

SERVICES: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "ingest": (
        (
            "stripe.>",
            "$JS.API.STREAM.INFO.STRIPE",
            "$JS.API.STREAM.CREATE.STRIPE",
            "$JS.API.STREAM.UPDATE.STRIPE",
            "$JS.API.STREAM.DELETE.STRIPE",
            "$JS.API.STREAM.MSG.GET.STRIPE",
            "$JS.API.CONSUMER.INFO.STRIPE.processor",
        ),
        ("_INBOX_ingest.>",),
    ),
    "processor": (
        (
            "$JS.API.CONSUMER.INFO.STRIPE.processor",
            "$JS.API.CONSUMER.CREATE.STRIPE.processor",
            "$JS.API.CONSUMER.MSG.NEXT.STRIPE.processor",
            "$JS.ACK.STRIPE.processor.>",
            "$JS.ACK.*.*.STRIPE.processor.>",
        ),
        ("_INBOX_processor.>",),
    ),
    "healthd": (("$JS.API.CONSUMER.INFO.STRIPE.processor",), ("_INBOX_healthd.>",)),
}
"""For each service the subjects that it may publish to, and those that it may subscribe to."""


def users(passwords: Mapping[str, str]) -> Sequence[Mapping[str, object]]:
    """The users of the server's configuration; it lets no other user in."""
    return [{"user": name, "password": password, **_limits(name)} for name, password in passwords.items()]


def _limits(name: str) -> Mapping[str, object]:
    if name == PERSON:
        return {}
    publish, subscribe = SERVICES[name]
    return {"permissions": {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}}
