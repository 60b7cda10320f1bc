-- SPDX-License-Identifier: MIT OR GPL-2.0-only
-- The tables of a fleet as views, on Spark; `fleet` is what --format parquet -o wrote, on any file system that
-- Spark knows. Then any of the queries beside this file:
--   spark-sql -i spark.sql -f slowest_initcalls.sql
-- Partitions are text: a kernel's release or a boot's name may look like a number, and is none.

SET spark.sql.sources.partitionColumnTypeInference.enabled = false;
CREATE OR REPLACE TEMPORARY VIEW functions USING parquet OPTIONS (path 'fleet/functions');
CREATE OR REPLACE TEMPORARY VIEW initcalls USING parquet OPTIONS (path 'fleet/initcalls');
CREATE OR REPLACE TEMPORARY VIEW levels USING parquet OPTIONS (path 'fleet/levels');
CREATE OR REPLACE TEMPORARY VIEW boots USING parquet OPTIONS (path 'fleet/boots');
