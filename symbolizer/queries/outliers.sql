-- SPDX-License-Identifier: MIT OR GPL-2.0-only
-- Which boots took much longer, or shorter, in some level than other boots of the same kernel, command line and
-- number of CPUs? Outside means: more than one and a half times the distance of the quartiles beyond them, and by
-- at least 1 ms, with four boots or more to compare.

WITH timed AS (
    SELECT
        levels.kernel,
        levels.boot,
        levels.level,
        levels.level_number,
        levels.time_ns,
        boots.command_line,
        boots.cpus,
        boots.ended
    FROM levels
    INNER JOIN boots ON levels.kernel = boots.kernel AND levels.boot = boots.boot
    WHERE levels.level <> 'firmware' AND levels.time_ns IS NOT NULL
),

usual AS (
    SELECT
        kernel,
        command_line,
        cpus,
        level,
        count(*) AS boots,
        percentile_cont(0.25) WITHIN GROUP (ORDER BY time_ns) AS low,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY time_ns) AS median,
        percentile_cont(0.75) WITHIN GROUP (ORDER BY time_ns) AS high
    FROM timed
    GROUP BY kernel, command_line, cpus, level
)

SELECT
    timed.kernel,
    timed.boot,
    timed.level,
    timed.time_ns / 1e6 AS time_ms,
    usual.median / 1e6 AS median_ms,
    (timed.time_ns - usual.median) / 1e6 AS more_ms,
    usual.boots,
    timed.ended
FROM timed
INNER JOIN usual
    ON timed.kernel = usual.kernel
    AND timed.command_line = usual.command_line
    AND timed.cpus = usual.cpus
    AND timed.level = usual.level
WHERE
    usual.boots >= 4
    AND abs(timed.time_ns - usual.median) >= 1e6
    AND (
        timed.time_ns > usual.high + 1.5 * (usual.high - usual.low)
        OR timed.time_ns < usual.low - 1.5 * (usual.high - usual.low)
    )
ORDER BY abs(timed.time_ns - usual.median) DESC, timed.kernel, timed.boot, timed.level_number;
