-- SPDX-License-Identifier: MIT OR GPL-2.0-only
-- Where did the time go? Self time of the functions of each directory of the source tree, and of each loaded module
-- in it, in a mean boot of each kernel, without idle; `part` is of all that was traced.

WITH sums AS (
    SELECT
        kernel,
        subsystem,
        module,
        sum(self_ns) AS self_ns,
        sum(calls) AS calls
    FROM functions
    WHERE NOT idle AND self_ns IS NOT NULL
    GROUP BY kernel, subsystem, module
),

wholes AS (
    SELECT kernel, sum(self_ns) AS self_ns FROM sums GROUP BY kernel
),

sizes AS (
    SELECT kernel, count(*) AS boots FROM boots WHERE tsc_khz IS NOT NULL GROUP BY kernel
)

SELECT
    sums.kernel,
    sums.subsystem,
    sums.module,
    sums.self_ns / sizes.boots / 1e6 AS self_ms,
    sums.self_ns / nullif(wholes.self_ns, 0) AS part,
    sums.calls / sizes.boots AS calls
FROM sums
INNER JOIN wholes ON sums.kernel = wholes.kernel
INNER JOIN sizes ON sums.kernel = sizes.kernel
ORDER BY sums.kernel, self_ms DESC, sums.subsystem, sums.module;
