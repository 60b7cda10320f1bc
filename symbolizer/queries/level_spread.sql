-- SPDX-License-Identifier: MIT OR GPL-2.0-only
-- How long does each level take, by kernel release, and how much does that vary from boot to boot?
-- `spread` is the standard deviation as a part of the mean; none for a single boot.

SELECT
    kernel,
    level,
    count(*) AS boots,
    min(time_ns) / 1e6 AS min_ms,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY time_ns) / 1e6 AS median_ms,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY time_ns) / 1e6 AS p95_ms,
    max(time_ns) / 1e6 AS max_ms,
    avg(time_ns) / 1e6 AS mean_ms,
    stddev_samp(time_ns) / 1e6 AS stddev_ms,
    stddev_samp(time_ns) / nullif(avg(time_ns), 0) AS spread
FROM levels
WHERE level <> 'firmware' AND time_ns IS NOT NULL
GROUP BY kernel, level, level_number
ORDER BY kernel, level_number;
