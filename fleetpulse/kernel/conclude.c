/* What follows from scores and closed seconds: alerts, and rollups from bucket to bucket. */
#include "kernel.h"

int alert_window(alerts_t *a, int64_t row, int64_t start_us, int64_t end_us, float score)
{
    double exact = score;
    int is_open = a->open[row];
    int32_t over = exact > a->threshold ? a->over[row] + 1 : 0;
    int32_t under = exact < a->clear_below ? a->under[row] + 1 : 0;
    float peak = a->peak[row];
    if (!is_open || !(peak >= score || isnan(score)))
        peak = score;
    /* the never-cleared marker is far below any time, so adding cannot reach one */
    int allowed = end_us >= a->cleared_us[row] + a->dedup_us;
    int raised = !is_open && over >= a->raise_after && allowed;
    int cleared = is_open && under >= a->clear_after;
    a->over[row] = over;
    a->under[row] = under;
    a->peak[row] = peak;
    a->score[row] = score;
    a->score_us[row] = end_us;
    a->open[row] = (is_open || raised) && !cleared;
    if (raised) {
        a->raised_us[row] = end_us;
        a->raised_start_us[row] = start_us;
    }
    if (cleared)
        a->cleared_us[row] = end_us;
    return raised - cleared;
}

static void reset(buckets_t *buckets, int64_t row, int64_t series)
{
    buckets->index[row] = NEVER;
    buckets->over[row] = 0;
    for (int64_t s = row * series; s < (row + 1) * series; s++) {
        buckets->stats.count[s] = 0;
        buckets->stats.min[s] = INFINITY;
        buckets->stats.max[s] = -INFINITY;
        buckets->stats.mean[s] = 0.0;
        buckets->stats.m2[s] = 0.0;
    }
}

/* Room for one more bucket. */
static int emit(bucket_columns_t *out, int64_t row, int64_t index, int64_t over, int64_t series,
                stats_t *stats)
{
    const size_t bytes = series * sizeof(double);
    stats->count = column_add(&out->count, series * sizeof(int64_t));
    stats->min = column_add(&out->min, bytes);
    stats->max = column_add(&out->max, bytes);
    stats->mean = column_add(&out->mean, bytes);
    stats->m2 = column_add(&out->m2, bytes);
    if (!stats->count || !stats->min || !stats->max || !stats->mean || !stats->m2)
        return -1;
    return column_put(&out->rows, row) | column_put(&out->index, index) |
           column_put(&out->over, over);
}

static void copy_stats(const stats_t *to, int64_t at, const stats_t *from, int64_t begin,
                       int64_t series)
{
    memcpy(to->count + at, from->count + begin, series * sizeof(int64_t));
    memcpy(to->min + at, from->min + begin, series * sizeof(double));
    memcpy(to->max + at, from->max + begin, series * sizeof(double));
    memcpy(to->mean + at, from->mean + begin, series * sizeof(double));
    memcpy(to->m2 + at, from->m2 + begin, series * sizeof(double));
}

static void add_score(const score_events_t *e, buckets_t *running, int64_t window)
{
    int64_t one = 1, row = e->window_rows[window];
    double score = e->scores[window], extreme = score + 0.0, none = 0.0;
    stats_t single = {&one, &extreme, &extreme, &score, &none};
    merge(&running->stats, row, &single, 0, 1);
    running->over[row] += score > e->threshold;
    running->index[row] = e->window_ends[window];
}

/* Give each closed second the scores of the windows that ended in it; seconds without any value
 * are dropped, with their scores. */
int join_scores(const score_events_t *e, buckets_t *running, bucket_columns_t *out)
{
    const int64_t channels = e->channels, series = channels + 1;
    for (int64_t i = 0; i < e->events_n; i++) {
        int64_t event = e->events[i];
        if (event >= 0) {
            add_score(e, running, event);
            continue;
        }
        int64_t second = ~event, row = e->second_rows[second], values = 0;
        for (int64_t c = 0; c < channels; c++)
            values += e->seconds.count[second * channels + c];
        if (values > 0) {
            stats_t whole;
            if (emit(out, row, e->second_index[second], running->over[row], series, &whole) < 0)
                return -1;
            copy_stats(&whole, 0, &e->seconds, second * channels, channels);
            copy_stats(&whole, channels, &running->stats, row, 1);
        }
        reset(running, row, 1);
    }
    return 0;
}

static int emit_running(buckets_t *running, int64_t row, int64_t series, bucket_columns_t *out)
{
    stats_t closed;
    if (emit(out, row, running->index[row], running->over[row], series, &closed) < 0)
        return -1;
    copy_stats(&closed, 0, &running->stats, row * series, series);
    reset(running, row, series);
    return 0;
}

/* Merge closed parts into the next larger buckets; answers those that closed. A bucket whose end
 * the frontier has reached closes even without a following one. */
int fold(const parts_t *parts, buckets_t *running, bucket_columns_t *out)
{
    const int64_t series = parts->series;
    for (int64_t i = 0; i < parts->n; i++) {
        int64_t row = parts->rows[i], index = floor_div(parts->index[i], parts->length);
        int64_t held = running->index[row];
        if (held != index && held != NEVER && emit_running(running, row, series, out) < 0)
            return -1;
        merge(&running->stats, row, &parts->stats, i, series);
        running->over[row] += parts->over[i];
        running->index[row] = index;
    }
    for (int64_t i = 0; i < parts->moved_n; i++) {
        int64_t row = parts->moved[i], index = running->index[row];
        if (index == NEVER)
            continue;
        int64_t now_s = floor_div(parts->settled[row] * parts->period_ns, SECOND_NS);
        if ((index + 1) * parts->level_s <= now_s && emit_running(running, row, series, out) < 0)
            return -1;
    }
    return 0;
}
