/* Statistics whose bits depend on nothing but the samples: fixed reductions, ordered merges. */
#include "kernel.h"

/* Sum over slots in one fixed order: halves are added elementwise. Overwrites x. */
void tree_sum(double *x, int64_t slots, int64_t channels)
{
    while (slots > 1) {
        int64_t half = (slots + 1) / 2, added = (slots - half) * channels;
        const double *upper = x + half * channels;
        for (int64_t i = 0; i < added; i++)
            x[i] += upper[i];
        slots = half;
    }
}

/* Extremes of samples without gaps: their order does not matter. Overwrites low and high. */
static void extremes(float *low, float *high, int64_t slots, int64_t channels)
{
    while (slots > 1) {
        int64_t half = (slots + 1) / 2, compared = (slots - half) * channels;
        const float *lower = low + half * channels, *higher = high + half * channels;
        for (int64_t i = 0; i < compared; i++) {
            low[i] = lower[i] < low[i] ? lower[i] : low[i];
            high[i] = higher[i] > high[i] ? higher[i] : high[i];
        }
        slots = half;
    }
}

/* x - mean, squared; 0 where there is no sample. */
static void squares(double *x, const float *samples, const double *mean, int64_t slots,
                    int64_t channels, int gapped)
{
    for (int64_t j = 0; j < slots; j++) {
        for (int64_t c = 0; c < channels; c++) {
            double deviation = (double)samples[c] - mean[c];
            x[c] = gapped && isnan(samples[c]) ? 0.0 : deviation * deviation;
        }
        x += channels;
        samples += channels;
    }
}

/* scratch: slots * channels doubles and twice as many floats. NaN is an absent sample. */
void describe(const float *samples, int64_t slots, int64_t channels, int gapped, double *scratch,
              stats_t out)
{
    int64_t cells = slots * channels;
    float *low = (float *)(scratch + cells), *high = low + cells;
    for (int64_t c = 0; c < channels; c++)
        out.count[c] = gapped ? 0 : slots;
    if (gapped) {
        for (int64_t i = 0; i < cells; i++) {
            int absent = isnan(samples[i]);
            out.count[i % channels] += !absent;
            scratch[i] = absent ? 0.0 : samples[i];
            low[i] = absent ? INFINITY : samples[i];
            high[i] = absent ? -INFINITY : samples[i];
        }
    } else {
        for (int64_t i = 0; i < cells; i++)
            scratch[i] = samples[i];
        memcpy(low, samples, cells * sizeof *low);
        memcpy(high, samples, cells * sizeof *high);
    }
    extremes(low, high, slots, channels);
    tree_sum(scratch, slots, channels);
    for (int64_t c = 0; c < channels; c++) {
        /* + 0.0 turns -0.0 into 0.0: which zero is kept depends on the order of comparison */
        out.min[c] = low[c] + 0.0;
        out.max[c] = high[c] + 0.0;
        out.mean[c] = scratch[c] / (out.count[c] > 1 ? out.count[c] : 1);
    }
    squares(scratch, samples, out.mean, slots, channels, gapped);
    tree_sum(scratch, slots, channels);
    memcpy(out.m2, scratch, channels * sizeof *scratch);
}

/* Observations of `into` at one place, followed by those of `part` at another (Chan, Golub &
 * LeVeque 1979, eq. 2.1). */
void merge(const stats_t *into, int64_t at, const stats_t *part, int64_t from, int64_t series)
{
    int64_t *count = into->count + at * series;
    double *min = into->min + at * series, *max = into->max + at * series;
    double *mean = into->mean + at * series, *m2 = into->m2 + at * series;
    const int64_t *added = part->count + from * series;
    const double *low = part->min + from * series, *high = part->max + from * series;
    const double *centre = part->mean + from * series, *squared = part->m2 + from * series;
    for (int64_t s = 0; s < series; s++) {
        int64_t total = count[s] + added[s];
        double share = (double)added[s] / (double)(total > 1 ? total : 1);
        double delta = centre[s] - mean[s];
        min[s] = smaller(min[s], low[s]);
        max[s] = larger(max[s], high[s]);
        m2[s] = m2[s] + squared[s] + delta * delta * ((double)count[s] * share);
        mean[s] = count[s] == 0 ? centre[s] : mean[s] + delta * share;
        count[s] = total;
    }
}
