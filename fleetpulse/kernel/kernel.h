/* What the files of the kernel share. Nothing here knows Python; door.h and module.c do. */
#ifndef FLEETPULSE_KERNEL_H
#define FLEETPULSE_KERNEL_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "samples are little-endian on the wire and in memory"
#endif

#define NEVER (-((int64_t)1 << 62))
#define SECOND_NS 1000000000LL

/* Memory that grows, and is handed to Python at the end. */
typedef struct {
    char *data;
    size_t size;
    size_t capacity;
} column_t;

/* Room for so many bytes at the end; NULL: no memory. */
static inline void *column_add(column_t *column, size_t bytes)
{
    if (column->data == NULL || column->size + bytes > column->capacity) {
        size_t capacity = 2 * column->capacity + bytes + 64;
        char *data = realloc(column->data, capacity);
        if (data == NULL)
            return NULL;
        column->data = data;
        column->capacity = capacity;
    }
    void *room = column->data + column->size;
    column->size += bytes;
    return room;
}

static inline int column_put(column_t *column, int64_t value)
{
    int64_t *room = column_add(column, sizeof value);
    if (room == NULL)
        return -1;
    *room = value;
    return 0;
}

static inline int64_t floor_div(int64_t a, int64_t b) /* b > 0 */
{
    return a / b - (a % b < 0);
}

static inline int64_t floor_mod(int64_t a, int64_t b) /* b > 0 */
{
    int64_t rest = a % b;
    return rest < 0 ? rest + b : rest;
}

/* decode.c */

typedef struct {
    int64_t channels, revision, count_max, period_ns, future_us, past_us;
} frame_rule_t;

typedef struct {
    column_t records, slots, counts, sources, samples, odd;
} frames_t;

int read_frames(const frame_rule_t *rule, int64_t n, const uint8_t *const *values,
                const int64_t *lengths, const int64_t *log_time_us, frames_t *out);

/* clocks.c */

/* Of each partition: log time, attended time at its newest tick, that tick's log time. */
typedef struct {
    int64_t log_us, attended_us, tick_us;
} clock_row_t;

void advance(int64_t n, const int32_t *partitions, const uint8_t *ticks, int64_t step_max_us,
             clock_row_t *clocks, int64_t *log_us, int64_t *attended_us);

/* rates.c */

void charge(int64_t n, const int64_t *rows, const int64_t *counts, const int64_t *log_time_us,
            int64_t cost_ns, int64_t burst_ns, int64_t *paid_ns, uint8_t *refused);

/* statistics.c */

static inline double smaller(double a, double b) /* NaN if one is */
{
    return a < b || isnan(a) ? a : b;
}

static inline double larger(double a, double b)
{
    return a > b || isnan(a) ? a : b;
}

typedef struct {
    int64_t *count;
    double *min, *max, *mean, *m2;
} stats_t;

void describe(const float *samples, int64_t slots, int64_t channels, int gapped, double *scratch,
              stats_t out);
void tree_sum(double *x, int64_t slots, int64_t channels);
void merge(const stats_t *into, int64_t at, const stats_t *part, int64_t from, int64_t series);

/* rings.c */

typedef struct {
    int64_t channels, period_ns, window, hop, lateness, second, run_max, ring;
} layout_t;

typedef struct {
    layout_t layout;
    double coverage_min;
    float *ring;
    int64_t *head, *settled, *last_missing;
    const int64_t *phases;
    int64_t capacity;
} rings_t;

typedef struct {
    int64_t n;
    const int64_t *rows, *slots, *counts, *sources;
    const float *samples;
    int complete;
} pieces_t;

/* events: windows as k, seconds as ~k, in each row's order of end. */
typedef struct {
    column_t late, moved, events;
    column_t window_rows, window_ends, window_samples;
    column_t second_rows, second_index, second_count;
    column_t second_min, second_max, second_mean, second_m2;
} closed_t;

int absorb(rings_t *rings, const pieces_t *pieces, closed_t *out);

/* zscore.c */

typedef struct {
    int64_t slots, channels, warmup_windows;
    double alpha, deviation_floor;
} norm_rule_t;

/* Of each row: windows seen so far; of each of its channels: mean and variance. */
typedef struct {
    int32_t *seen;
    double *mean, *variance;
} norms_t;

int score_windows(const norm_rule_t *rule, const norms_t *norms, int64_t n, const int64_t *rows,
                  const float *samples, float *scores);

/* conclude.c */

typedef struct {
    int64_t *index;
    stats_t stats;
    int64_t *over;
} buckets_t;

typedef struct {
    column_t rows, index, count, min, max, mean, m2, over;
} bucket_columns_t;

typedef struct {
    double threshold, clear_below;
    int64_t raise_after, clear_after, dedup_us;
    int32_t *over, *under;
    uint8_t *open;
    int64_t *raised_us, *raised_start_us, *cleared_us;
    float *peak, *score;
    int64_t *score_us;
} alerts_t;

/* Feed one window: 1 raised, -1 cleared, 0 neither. */
int alert_window(alerts_t *alerts, int64_t row, int64_t start_us, int64_t end_us, float score);

typedef struct {
    int64_t events_n, channels;
    const int64_t *events;
    const int64_t *window_rows, *window_ends;
    const float *scores;
    double threshold;
    const int64_t *second_rows, *second_index;
    stats_t seconds;
} score_events_t;

int join_scores(const score_events_t *events, buckets_t *running, bucket_columns_t *out);

typedef struct {
    int64_t n, series, length, level_s, period_ns;
    const int64_t *rows, *index;
    stats_t stats;
    const int64_t *over;
    int64_t moved_n;
    const int64_t *moved, *settled;
} parts_t;

int fold(const parts_t *parts, buckets_t *running, bucket_columns_t *out);

#endif
