"""How we connect to PostgreSQL: time limits on both ends, and a socket that notices a peer that is gone."""

import asyncio
import socket
import sys
from typing import TypedDict

import asyncpg

CONNECT_SECONDS = 3
_IN_TRANSACTION_SECONDS = 20
_NOTICE_MILLISECONDS = 20_000


class ConnectArguments(TypedDict, total=False):
    """Arguments that ``asyncpg.connect`` and ``create_pool`` take alike."""

    dsn: str
    timeout: float
    command_timeout: float
    statement_cache_size: int
    server_settings: dict[str, str]


def connect_arguments(
    dsn: str, *, application_name: str, command_seconds: float, statement_cache: bool, keeps_plans: bool = False
) -> ConnectArguments:
    """
    Arguments for asyncpg; TLS is as the DSN says (``sslmode=verify-full&sslrootcert=…``).

    A pooler in transaction mode changes the session with each transaction, so prepared statements and startup
    parameters do not work.

    Args:
        keeps_plans: PostgreSQL plans each statement once and never again. Only for statements whose plan cannot depend
            on a table's size: one made while a table is empty would else read all of it for good.
    """
    arguments = ConnectArguments(dsn=dsn, timeout=CONNECT_SECONDS, command_timeout=command_seconds)
    if not statement_cache:
        arguments["statement_cache_size"] = 0
        return arguments
    statement_ms = max(int(command_seconds * 1000) - 250, 250)  # the server gives up first and says why
    arguments["server_settings"] = {
        "application_name": application_name,
        "default_transaction_isolation": "read committed",  # whatever the role's or the database's
        "timezone": "UTC",
        "jit": "off",
        "enable_seqscan": "off",  # everything is looked up by key; a plan of a table's first minute must not outlive it
        "statement_timeout": str(statement_ms),
        "lock_timeout": str(int(statement_ms * 0.8)),
        "idle_in_transaction_session_timeout": str(_IN_TRANSACTION_SECONDS * 1000),
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "2",
        "tcp_user_timeout": str(_NOTICE_MILLISECONDS),
    }
    if keeps_plans:  # for a short array it plans anew each time, which takes longer than the statement itself
        arguments["server_settings"]["plan_cache_mode"] = "force_generic_plan"
        # an index in the order that is asked for, not all of another one that looked as small when the plan was made
        arguments["server_settings"]["enable_sort"] = "off"
    return arguments


async def keep_alive(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Let the kernel end an idle connection whose peer is gone: asyncpg sets nothing of that kind."""
    transport: asyncio.Transport | None = getattr(connection, "_transport", None)
    peer = transport.get_extra_info("socket") if transport is not None else None
    if peer is None or peer.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _NOTICE_MILLISECONDS)
