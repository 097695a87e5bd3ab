/* Pieces into the rings of their devices, in log order; what closes is copied out at once.
 * fleetpulse/rings.py says what head, settled and last_missing are and what holds of them. */
#include "kernel.h"

static inline float *cell(const rings_t *rings, int64_t row, int64_t slot)
{
    const layout_t *layout = &rings->layout;
    int64_t at = row * layout->ring + floor_mod(slot, layout->ring);
    return rings->ring + at * layout->channels;
}

/* Slots up to the ring's end; the rest continues at its beginning. */
static inline int64_t until_end(const layout_t *layout, int64_t slot, int64_t count)
{
    int64_t room = layout->ring - floor_mod(slot, layout->ring);
    return count < room ? count : room;
}

static void copy_out(const rings_t *rings, int64_t row, int64_t slot, int64_t count, float *to)
{
    const size_t width = rings->layout.channels;
    int64_t first = until_end(&rings->layout, slot, count);
    memcpy(to, cell(rings, row, slot), first * width * sizeof *to);
    if (first < count)
        memcpy(to + first * width, cell(rings, row, slot + first),
               (count - first) * width * sizeof *to);
}

static void write_through(rings_t *rings, int64_t row, int64_t slot, int64_t count,
                          const float *from)
{
    const size_t width = rings->layout.channels;
    int64_t first = until_end(&rings->layout, slot, count);
    memcpy(cell(rings, row, slot), from, first * width * sizeof *from);
    if (first < count)
        memcpy(cell(rings, row, slot + first), from + first * width,
               (count - first) * width * sizeof *from);
}

static int incomplete(const float *sample, int64_t channels)
{
    for (int64_t c = 0; c < channels; c++)
        if (isnan(sample[c]))
            return 1;
    return 0;
}

/* Units that end in (before, after] */

/* Enough values, and at least one of each channel. */
static int covered(const float *samples, int64_t slots, int64_t channels, double coverage_min)
{
    int64_t present = 0;
    for (int64_t c = 0; c < channels; c++) {
        int64_t of_channel = 0;
        for (int64_t j = 0; j < slots; j++)
            of_channel += !isnan(samples[j * channels + c]);
        if (of_channel == 0)
            return 0;
        present += of_channel;
    }
    return (double)present / (double)(slots * channels) >= coverage_min;
}

/* Fill gaps with the last value before them; leading ones with the first value. */
static void hold(float *samples, int64_t slots, int64_t channels)
{
    for (int64_t c = 0; c < channels; c++) {
        int64_t first = 0;
        while (isnan(samples[first * channels + c]))
            first++;
        float held = samples[first * channels + c];
        for (int64_t j = 0; j < slots; j++) {
            float *sample = samples + j * channels + c;
            if (isnan(*sample))
                *sample = held;
            held = *sample;
        }
    }
}

static int close_window(const rings_t *rings, int64_t row, int64_t end, closed_t *out)
{
    const layout_t *layout = &rings->layout;
    const size_t bytes = layout->window * layout->channels * sizeof(float);
    int64_t start = end - layout->window;
    float *samples = column_add(&out->window_samples, bytes);
    if (samples == NULL)
        return -1;
    copy_out(rings, row, start, layout->window, samples);
    if (start <= rings->last_missing[row]) {
        if (!covered(samples, layout->window, layout->channels, rings->coverage_min)) {
            out->window_samples.size -= bytes;
            return 0;
        }
        hold(samples, layout->window, layout->channels);
    }
    int64_t number = out->window_rows.size / sizeof(int64_t);
    return column_put(&out->window_rows, row) | column_put(&out->window_ends, end) |
           column_put(&out->events, number);
}

static int close_second(const rings_t *rings, int64_t row, int64_t index, int64_t start,
                        int64_t size, double *scratch, closed_t *out)
{
    const layout_t *layout = &rings->layout;
    const int64_t channels = layout->channels, cells = layout->second * channels;
    float *samples = (float *)(scratch + 2 * cells);
    copy_out(rings, row, start, size, samples);
    for (int64_t i = size * channels; i < cells; i++)
        samples[i] = NAN;
    int gapped = size < layout->second || start <= rings->last_missing[row];
    stats_t stats = {
        column_add(&out->second_count, channels * sizeof(int64_t)),
        column_add(&out->second_min, channels * sizeof(double)),
        column_add(&out->second_max, channels * sizeof(double)),
        column_add(&out->second_mean, channels * sizeof(double)),
        column_add(&out->second_m2, channels * sizeof(double)),
    };
    if (!stats.count || !stats.min || !stats.max || !stats.mean || !stats.m2)
        return -1;
    describe(samples, layout->second, channels, gapped, scratch, stats);
    int64_t number = out->second_rows.size / sizeof(int64_t);
    return column_put(&out->second_rows, row) | column_put(&out->second_index, index) |
           column_put(&out->events, ~number);
}

static inline int64_t windows_closed(const layout_t *layout, int64_t settled, int64_t phase)
{
    return floor_div(settled - layout->window - phase, layout->hop);
}

/* Positions of seconds are seconds, or slots below 1 Hz. */
static inline int64_t seconds_closed(const layout_t *layout, int64_t settled)
{
    if (layout->second == 1)
        return settled - 1;
    return floor_div(settled * layout->period_ns, SECOND_NS) - 1;
}

static inline int64_t second_start(const layout_t *layout, int64_t position)
{
    if (layout->second == 1)
        return position;
    return -floor_div(-position * SECOND_NS, layout->period_ns);
}

/* In order of end, windows before seconds at equal ends. */
static int close_units(const rings_t *rings, int64_t row, int64_t before, int64_t after,
                       uint8_t *moved, double *scratch, closed_t *out)
{
    const layout_t *layout = &rings->layout;
    if (after <= before)
        return 0;
    if (!moved[row]) {
        moved[row] = 1;
        if (column_put(&out->moved, row) < 0)
            return -1;
    }
    int64_t phase = rings->phases[row];
    int64_t window = windows_closed(layout, before, phase) + 1;
    int64_t last_window = windows_closed(layout, after, phase);
    int64_t second = seconds_closed(layout, before) + 1;
    int64_t last_second = seconds_closed(layout, after);
    while (window <= last_window || second <= last_second) {
        int64_t window_end = window * layout->hop + phase + layout->window;
        int64_t second_end = second_start(layout, second + 1);
        if (window <= last_window && (second > last_second || window_end <= second_end)) {
            if (close_window(rings, row, window_end, out) < 0)
                return -1;
            window++;
        } else {
            int64_t start = second_start(layout, second);
            int64_t index = layout->second == 1
                                ? floor_div(second * layout->period_ns, SECOND_NS)
                                : second;
            if (close_second(rings, row, index, start, second_end - start, scratch, out) < 0)
                return -1;
            second++;
        }
    }
    return 0;
}

/* The frontier */

/* Recompute it where slots may be incomplete. */
static int64_t settle(rings_t *rings, int64_t row)
{
    int64_t head = rings->head[row], settled = rings->settled[row];
    if (settled < head - rings->layout.lateness)
        settled = head - rings->layout.lateness;
    while (settled < head && !incomplete(cell(rings, row, settled), rings->layout.channels))
        settled++;
    return rings->settled[row] = settled;
}

/* Let time pass over slots that nobody sent, closing what ends in them. */
static int skip(rings_t *rings, int64_t row, int64_t target, uint8_t *moved, double *scratch,
                closed_t *out)
{
    const layout_t *layout = &rings->layout;
    /* beyond the ring there are no values, and beyond one more second no second that a score of
     * them belongs to */
    const int64_t empty = layout->ring + layout->second;
    for (int64_t skipped = 0; rings->head[row] < target; skipped += layout->run_max) {
        int64_t head = rings->head[row], before = rings->settled[row];
        if (skipped >= empty) {
            rings->head[row] = target;
            rings->last_missing[row] = target - 1;
            if (target - layout->lateness > before)
                rings->settled[row] = target - layout->lateness;
            if (!moved[row]) {
                moved[row] = 1;
                return column_put(&out->moved, row);
            }
            return 0;
        }
        int64_t step = target - head < layout->run_max ? target - head : layout->run_max;
        for (int64_t slot = head; slot < head + step; slot++) {
            float *sample = cell(rings, row, slot);
            for (int64_t c = 0; c < layout->channels; c++)
                sample[c] = NAN;
        }
        rings->head[row] = head + step;
        rings->last_missing[row] = head + step - 1;
        int64_t after = settle(rings, row);
        if (close_units(rings, row, before, after, moved, scratch, out) < 0)
            return -1;
    }
    return 0;
}

/* Fill absent values of slots that are not settled by time; the first value wins. Says whether a
 * sample came too late. */
static int fill(rings_t *rings, int64_t row, int64_t slot, int64_t count, const float *from)
{
    const layout_t *layout = &rings->layout;
    const int64_t head = rings->head[row], watermark = head - layout->lateness;
    int too_late = 0;
    for (int64_t end = slot + count; slot < end; slot++, from += layout->channels) {
        float *held = cell(rings, row, slot);
        int nothing_held = slot >= head || slot < head - layout->ring;
        for (int64_t c = 0; c < layout->channels; c++) {
            if (!nothing_held && !isnan(held[c]))
                continue;
            if (slot >= watermark)
                held[c] = from[c];
            else
                too_late |= !isnan(from[c]);
        }
    }
    return too_late;
}

static int absorb_piece(rings_t *rings, const pieces_t *pieces, int64_t i, uint8_t *moved,
                        double *scratch, closed_t *out)
{
    const layout_t *layout = &rings->layout;
    const int64_t row = pieces->rows[i], slot = pieces->slots[i], count = pieces->counts[i];
    const float *from = pieces->samples + pieces->sources[i] * layout->channels;
    if (rings->head[row] == NEVER) {
        rings->head[row] = slot;
        rings->settled[row] = slot - layout->lateness;
        rings->last_missing[row] = slot - 1;
    } else if (slot > rings->head[row] && skip(rings, row, slot, moved, scratch, out) < 0) {
        return -1;
    }
    const int64_t head = rings->head[row], before = rings->settled[row], end = slot + count;
    int whole = 1;
    for (int64_t j = 0; !pieces->complete && whole && j < count; j++)
        whole = !incomplete(from + j * layout->channels, layout->channels);
    if (slot == head)
        write_through(rings, row, slot, count, from);
    else if (fill(rings, row, slot, count, from) && column_put(&out->late, i) < 0)
        return -1;
    if (end > head)
        rings->head[row] = end;
    if (!whole && end - 1 > rings->last_missing[row])
        rings->last_missing[row] = end - 1;
    int64_t after;
    if (slot == head && before == head && whole)
        after = rings->settled[row] = end;
    else
        after = settle(rings, row);
    return close_units(rings, row, before, after, moved, scratch, out);
}

int absorb(rings_t *rings, const pieces_t *pieces, closed_t *out)
{
    const int64_t cells = rings->layout.second * rings->layout.channels;
    uint8_t *moved = calloc(rings->capacity ? rings->capacity : 1, 1);
    double *scratch = malloc((2 * cells + cells) * sizeof *scratch);
    int failed = moved == NULL || scratch == NULL;
    for (int64_t i = 0; !failed && i < pieces->n; i++)
        failed = absorb_piece(rings, pieces, i, moved, scratch, out) < 0;
    free(moved);
    free(scratch);
    return failed ? -1 : 0;
}
