"""The private names of nats-py's that the fast connection rests on: one that is gone is found here."""

import pytest
from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser

from sluice.nats import connection, fast_connection
from tests.private_names import private_names

OF_CLIENT = ("_ps", "_transport")
OF_TRANSPORT = ("_io_writer",)


def test_no_other_private_name_of_nats_py_is_used() -> None:
    """Else the lists here say too little; the connection by the public interface uses none."""
    assert private_names(connection) == set()
    assert private_names(fast_connection) - _of_our_connection() == {*OF_CLIENT, *OF_TRANSPORT}


def _of_our_connection() -> frozenset[str]:
    return frozenset({"_check_alive", "_client", "_on_message"})


@pytest.mark.parametrize("name", OF_CLIENT)
async def test_nats_pys_client_has_the_private_name(name: str) -> None:
    """From its beginning."""
    assert hasattr(Client(), name)


@pytest.mark.parametrize("name", OF_TRANSPORT)
def test_nats_pys_transport_has_the_private_name(name: str) -> None:
    """Where what is written goes out."""
    assert hasattr(TcpTransport(), name)  # type: ignore[no-untyped-call]


def test_nats_pys_parser_keeps_what_came_in_a_buffer() -> None:
    """It has no other place for what is left of a message."""
    assert Parser().buf == bytearray()
