# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Reads JSON lines with DuckDB, which finds the columns itself. Prints what it finds as JSON."""

import json
import sys

import duckdb

lines = duckdb.read_json(sys.argv[1], format="newline_delimited", sample_size=-1)


def rows(sql):
    return duckdb.sql(sql).fetchall()


print(
    json.dumps(
        {
            "calls": dict(rows("SELECT name, count(*) FROM lines WHERE type = 'call' GROUP BY name")),
            "own_ns": {name: int(own) for name, own in rows("SELECT name, sum(own) FROM lines WHERE type = 'call' GROUP BY name")},
            "longest_ns": dict(rows("SELECT name, max(total) FROM lines WHERE type = 'call' AND unfinished IS NULL GROUP BY name")),
            "levels": [level for level, in rows("SELECT level FROM lines WHERE type = 'level'")],
            "initcalls": rows("SELECT count(*) FROM lines WHERE type = 'initcall'")[0][0],
            "nameless": rows("SELECT count(*) FROM lines WHERE type = 'call' AND task NOT IN (SELECT task FROM lines WHERE type = 'task')")[0][0],
            "first": rows("SELECT type FROM lines LIMIT 1")[0][0],
            "end": rows("SELECT calls, lost, gaps FROM lines WHERE type = 'end'"),
        }
    )
)
