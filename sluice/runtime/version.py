"""The version of Sluice that runs."""

from importlib import metadata

UNKNOWN = "development"


def version() -> str:
    """The installed distribution's; ``development`` where the sources run as they are, as in the image of `tilt up`."""
    try:
        return metadata.version("sluice")
    except metadata.PackageNotFoundError:
        return UNKNOWN
