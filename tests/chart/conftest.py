import pytest

from tests.chart.helm import Values, values_files

FILES = values_files()


@pytest.fixture(params=list(FILES))
def values(request: pytest.FixtureRequest) -> Values:
    """Every values file, one after the other."""
    return FILES[request.param]


@pytest.fixture
def everything() -> Values:
    """All flags on."""
    return FILES["everything-values"]
