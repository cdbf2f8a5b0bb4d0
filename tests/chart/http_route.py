"""
The part of the Gateway API's HTTPRoute (v1) that the chart makes, as strict models: whatever else there is, is refused.

No package that Python's index has carries its definition, so these fields are written down here, by its reference.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
_Host = Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")]
_Port = Annotated[int, Field(ge=1, le=65_535)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Parent(_Strict):
    name: _Name
    namespace: _Name | None = None
    sectionName: _Name | None = None  # noqa: N815  their name
    port: _Port | None = None
    group: str | None = None
    kind: str | None = None


class _Path(_Strict):
    type: Literal["Exact", "PathPrefix", "RegularExpression"]
    value: Annotated[str, Field(pattern=r"^/", max_length=1024)]


class _Match(_Strict):
    path: _Path


class _Backend(_Strict):
    name: _Name
    port: _Port


class _Rule(_Strict):
    matches: Annotated[list[_Match], Field(min_length=1, max_length=64)]
    backendRefs: Annotated[list[_Backend], Field(min_length=1, max_length=16)]  # noqa: N815


class _Spec(_Strict):
    parentRefs: Annotated[list[_Parent], Field(min_length=1, max_length=32)]  # noqa: N815
    hostnames: Annotated[list[_Host], Field(max_length=16)] | None = None
    rules: Annotated[list[_Rule], Field(min_length=1, max_length=16)]


class _Metadata(_Strict):
    name: _Name
    namespace: _Name
    labels: dict[str, str]


class HttpRoute(_Strict):
    """One route."""

    apiVersion: Literal["gateway.networking.k8s.io/v1"]  # noqa: N815
    kind: Literal["HTTPRoute"]
    metadata: _Metadata
    spec: _Spec
