"""How every replica comes by its connections to PostgreSQL."""

from charts.dashboards.panels import PODS, Colour, Graph, Level, Query, Row, each_minute, newest, quantile

_BUSY = f'postgres_pool_connections{{{PODS}, state="busy"}} / ignoring (state) postgres_pool_connections_max{{{PODS}}}'

CONNECTIONS = Row(
    "Connections to PostgreSQL",
    (
        Graph(
            title="Pool in use, by replica",
            description="Busy connections as a share of the most that the replica may open. Near 100% for minutes: "
            "statements are slow or wait for locks; find them before you raise the limit.",
            runbook="a-pool-is-exhausted",
            queries=(Query(f"max by (pod) ({_BUSY})", "{{pod}}"),),
            unit="percentunit",
            levels=(Level(0.7, Colour.LOOK), Level(0.9, Colour.BAD)),
        ),
        Graph(
            title="Waiting for a connection, by replica",
            description="Tasks that wait now. Above 0 for long: the pool is too small for what statements take.",
            runbook="a-pool-is-exhausted",
            queries=(Query(newest("postgres_pool_waiters", where=PODS, by="pod"), "{{pod}}"),),
            unit="short",
        ),
        Graph(
            title="Time to get a connection, p99, by replica",
            description="Milliseconds while a connection is free; past a second every answer is late. Also new "
            "connections are made in this time, so PostgreSQL or the network may be slow.",
            runbook="a-pool-is-exhausted",
            queries=(Query(quantile(0.99, "postgres_pool_acquire_seconds", where=PODS, by="pod"), "{{pod}}"),),
            unit="s",
            levels=(Level(1, Colour.BAD),),
        ),
        Graph(
            title="Waited in vain, by replica",
            description="Tasks that got no connection in time: the work behind them was refused or put off. Any is an "
            "alert's matter; see who holds the connections.",
            runbook="a-pool-is-exhausted",
            queries=(Query(each_minute("postgres_pool_acquire_timeouts_total", where=PODS, by="pod"), "{{pod}}"),),
            unit="epm",
        ),
        Graph(
            title="Connections of the whole server",
            description="All clients of PostgreSQL, Sluice or not, against max_connections. Above 85%: the client that "
            "connects next may be refused; end what is idle, or lower pools, before you add replicas.",
            runbook="a-pool-is-exhausted",
            queries=(
                Query(newest("healthd_database_connections"), "in use"),
                Query(f"0.85 * {newest('healthd_database_connections_max')}", "85% of the limit"),
                Query(newest("healthd_database_connections_max"), "limit"),
            ),
            unit="short",
            colours={"in use": Colour.NEUTRAL, "85% of the limit": Colour.LOOK, "limit": Colour.BAD},
        ),
        Graph(
            title="PostgreSQL's answer to SELECT 1",
            description="As healthd sees it. Slow here: the server or the network is, and no statement of ours.",
            runbook="postgresql-is-down",
            queries=(Query(newest("healthd_database_latency_seconds"), "SELECT 1"),),
            unit="s",
        ),
    ),
)
