# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Runs the queries of a directory, as they are, on DuckDB or Spark, after the engine's prelude there; tables of a
# fleet lie in the current directory. Queries of more directories come after. Prints {query: {"columns": [...], "rows": [[...], ...]}} as JSON.
#   python3 fleet.py duckdb|spark QUERIES [MORE...]

import json
import pathlib
import sys

PRELUDES = {"duckdb": "duckdb.sql", "spark": "spark.sql"}


def statements(path):
    """The statements of a file; none of ours has a semicolon in a string or a comment within a line."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]


def duckdb_engine():
    import duckdb

    connection = duckdb.connect()

    def run(statement):
        cursor = connection.execute(statement)
        columns = [column[0] for column in cursor.description or []]
        return columns, [list(row) for row in cursor.fetchall()]

    return run


def spark_engine():
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        # A fleet of a test is small: two hundred tasks a step would only take time.
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )

    def run(statement):
        frame = session.sql(statement)
        return frame.columns, [list(row) for row in frame.collect()]

    return run


def main():
    engine, directories = sys.argv[1], [pathlib.Path(argument) for argument in sys.argv[2:]]
    run = {"duckdb": duckdb_engine, "spark": spark_engine}[engine]()
    for statement in statements(directories[0] / PRELUDES[engine]):
        run(statement)
    results = {}
    for path in (path for directory in directories for path in sorted(directory.glob("*.sql"))):
        if path.name in PRELUDES.values():
            continue
        (statement,) = statements(path)
        columns, rows = run(statement)
        results[path.stem] = {"columns": columns, "rows": rows}
    # Whole sums may come as decimals: as numbers they are the same.
    json.dump(results, sys.stdout, default=float)


main()
