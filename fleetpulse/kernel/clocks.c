/* Log time and attended time (fleetpulse/silence.py) at each record of a batch. */
#include "kernel.h"

void advance(int64_t n, const int32_t *partitions, const uint8_t *ticks, int64_t step_max_us,
             clock_row_t *clocks, int64_t *log_us, int64_t *attended_us)
{
    for (int64_t i = 0; i < n; i++) {
        clock_row_t *clock = clocks + partitions[i];
        if (log_us[i] > clock->log_us)
            clock->log_us = log_us[i];
        log_us[i] = clock->log_us;
        int64_t step_us = clock->log_us - clock->tick_us;
        if (step_us > step_max_us)
            step_us = step_max_us;
        attended_us[i] = clock->attended_us + step_us;
        if (ticks[i]) {
            clock->attended_us = attended_us[i];
            clock->tick_us = clock->log_us;
        }
    }
}
