/* The generic cell rate algorithm (fleetpulse/rates.py), record by record in log order. */
#include "kernel.h"

void charge(int64_t n, const int64_t *rows, const int64_t *counts, const int64_t *log_time_us,
            int64_t cost_ns, int64_t burst_ns, int64_t *paid_ns, uint8_t *refused)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t now_ns = log_time_us[i] * 1000, paid = paid_ns[rows[i]];
        int64_t after_ns = (paid > now_ns ? paid : now_ns) + counts[i] * cost_ns;
        refused[i] = after_ns - now_ns > burst_ns;
        if (!refused[i])
            paid_ns[rows[i]] = after_ns;
    }
}
