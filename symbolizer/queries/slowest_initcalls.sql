-- SPDX-License-Identifier: MIT OR GPL-2.0-only
-- Which initcalls are slow over the whole fleet? Mean, 95th percentile and the worst boot of each, by mean.
-- From begin to end, waiting included; async and deferred work, which runs beside them, left out.

WITH placed AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY function, module ORDER BY time_ns DESC, kernel, boot, start_ns) AS place
    FROM initcalls
    WHERE kind IN ('built-in', 'module') AND time_ns IS NOT NULL
)

SELECT
    function,
    module,
    count(DISTINCT kernel) AS kernels,
    count(*) AS runs,
    avg(time_ns) / 1e6 AS mean_ms,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY time_ns) / 1e6 AS p95_ms,
    max(time_ns) / 1e6 AS worst_ms,
    max(CASE WHEN place = 1 THEN kernel END) AS worst_kernel,
    max(CASE WHEN place = 1 THEN boot END) AS worst_boot
FROM placed
GROUP BY function, module
ORDER BY mean_ms DESC, function, module
LIMIT 25;
