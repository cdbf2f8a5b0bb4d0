"""Why a request is refused, beside what ``sluice.failures`` names; each docstring is what the client reads."""

from sluice.failures import Rejected, Unavailable


class NotFound(Rejected):
    """There is nothing here; webhooks go to POST /api/stripe-webhook or /api/stripe-webhook/{events.id}."""

    code = "not_found"


class UnknownOrganiser(NotFound):
    """No organiser with a webhook secret is known by this id."""

    code = "unknown_organiser"


class MethodNotAllowed(Rejected):
    """Webhooks are sent with POST."""

    code = "method_not_allowed"


class BodyTooLarge(Rejected):
    """The body is larger than any webhook of Stripe's."""

    code = "body_too_large"


class UnsupportedMediaType(Rejected):
    """The body must be sent as application/json, and not compressed."""

    code = "unsupported_media_type"


class BadRequest(Rejected):
    """This is not a well-formed HTTP request."""

    code = "bad_request"


class OutOfTime(Unavailable):
    """The request took too long."""

    code = "timeout"


class BodyTooSlow(Unavailable):
    """The body did not arrive in time."""

    code = "body_timeout"


class ClientGone(Rejected):
    """The client left before its answer."""

    code = "client_gone"


class TooMuchAtOnce(Unavailable):
    """Too much arrives at the moment."""

    code = "overloaded"


class NotConfigured(Unavailable):
    """No webhook secret is configured here."""

    code = "not_configured"


class SecretUnreadable(Unavailable):
    """This organiser's webhook secret cannot be read at the moment."""

    code = "secret_unreadable"


class SecretUnusable(Unavailable):
    """This organiser's row holds no usable webhook secret."""

    code = "secret_unusable"


class NotRecorded(Unavailable):
    """This webhook could not be recorded at the moment."""

    code = "not_recorded"
