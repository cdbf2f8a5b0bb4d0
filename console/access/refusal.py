"""Reasons to turn a request away."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a request was refused; the metric's label, and the key of what the person is told."""

    UNKNOWN_HOST = "unknown_host"
    NOT_THE_PROXY = "not_the_proxy"
    NO_USER = "no_user"
    USER_NOT_LISTED = "user_not_listed"
    NOT_LOOPBACK = "not_loopback"
    NO_SESSION = "no_session"
    LINK_USED = "link_used"
    FOREIGN_FORM = "foreign_form"
    READ_ONLY = "read_only"


class Refused(Exception):
    """A request that no page may answer."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason
