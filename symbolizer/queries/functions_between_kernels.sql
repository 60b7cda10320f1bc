-- SPDX-License-Identifier: MIT OR GPL-2.0-only
-- Which functions cost more, or less, in one kernel than in another? Self time and calls of a mean boot, without
-- idle; what one of the two does not have counts as 0 there. Compared are the first and the last release in the
-- order of their names: put others into `pair`, as in SELECT '6.1.0-56-amd64' AS old_kernel, ...

WITH pair AS (
    SELECT min(kernel) AS old_kernel, max(kernel) AS new_kernel FROM boots
),

sizes AS (
    SELECT
        sum(CASE WHEN boots.kernel = pair.old_kernel THEN 1 ELSE 0 END) AS old_boots,
        sum(CASE WHEN boots.kernel = pair.new_kernel THEN 1 ELSE 0 END) AS new_boots
    FROM boots
    CROSS JOIN pair
    WHERE boots.tsc_khz IS NOT NULL
),

sums AS (
    SELECT
        functions.function,
        functions.module,
        sum(CASE WHEN functions.kernel = pair.old_kernel THEN functions.self_ns ELSE 0 END) AS old_ns,
        sum(CASE WHEN functions.kernel = pair.new_kernel THEN functions.self_ns ELSE 0 END) AS new_ns,
        sum(CASE WHEN functions.kernel = pair.old_kernel THEN functions.calls ELSE 0 END) AS old_calls,
        sum(CASE WHEN functions.kernel = pair.new_kernel THEN functions.calls ELSE 0 END) AS new_calls
    FROM functions
    CROSS JOIN pair
    WHERE NOT functions.idle AND functions.self_ns IS NOT NULL AND pair.old_kernel <> pair.new_kernel
    GROUP BY functions.function, functions.module
),

means AS (
    SELECT
        sums.function,
        sums.module,
        sums.old_ns / sizes.old_boots / 1e6 AS old_ms,
        sums.new_ns / sizes.new_boots / 1e6 AS new_ms,
        sums.old_calls / sizes.old_boots AS old_calls,
        sums.new_calls / sizes.new_boots AS new_calls
    FROM sums
    CROSS JOIN sizes
    WHERE sizes.old_boots > 0 AND sizes.new_boots > 0
)

SELECT
    function,
    module,
    old_ms,
    new_ms,
    new_ms - old_ms AS more_ms,
    old_calls,
    new_calls
FROM means
ORDER BY abs(new_ms - old_ms) DESC, function, module
LIMIT 25;
