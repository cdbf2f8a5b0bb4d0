from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class WebhookEvent(_message.Message):
    __slots__ = ("stripe_event_id", "type", "created_seconds", "livemode", "account", "api_version", "object_id", "tenant", "body", "attempt")
    STRIPE_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LIVEMODE_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    stripe_event_id: str
    type: str
    created_seconds: int
    livemode: bool
    account: str
    api_version: str
    object_id: str
    tenant: str
    body: bytes
    attempt: int
    def __init__(self, stripe_event_id: _Optional[str] = ..., type: _Optional[str] = ..., created_seconds: _Optional[int] = ..., livemode: _Optional[bool] = ..., account: _Optional[str] = ..., api_version: _Optional[str] = ..., object_id: _Optional[str] = ..., tenant: _Optional[str] = ..., body: _Optional[bytes] = ..., attempt: _Optional[int] = ...) -> None: ...
