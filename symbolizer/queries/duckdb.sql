-- SPDX-License-Identifier: MIT OR GPL-2.0-only
-- The tables of a fleet as views, on DuckDB; `fleet` is what --format parquet -o wrote, seen from here. Then any of
-- the queries beside this file:
--   cat duckdb.sql slowest_initcalls.sql | duckdb
-- Partitions are text: a kernel's release or a boot's name may look like a number, and is none.

CREATE OR REPLACE VIEW functions AS SELECT * FROM
    read_parquet('fleet/functions/*/*/*.parquet', hive_partitioning = true, hive_types_autocast = false);
CREATE OR REPLACE VIEW initcalls AS SELECT * FROM
    read_parquet('fleet/initcalls/*/*/*.parquet', hive_partitioning = true, hive_types_autocast = false);
CREATE OR REPLACE VIEW levels AS SELECT * FROM
    read_parquet('fleet/levels/*/*/*.parquet', hive_partitioning = true, hive_types_autocast = false);
CREATE OR REPLACE VIEW boots AS SELECT * FROM
    read_parquet('fleet/boots/*/*/*.parquet', hive_partitioning = true, hive_types_autocast = false);
