/* Windows judged by the norm of their device, which each of them teaches (fleetpulse/zscore.py). */
#include <float.h>

#include "kernel.h"

#define CLIP_SIGMA 3.0

/* Mean of each channel, at x's beginning. x: (slots + 1) / 2 * channels. The first halves are added
 * as they are widened. */
static void means(const float *samples, int64_t slots, int64_t channels, double *x)
{
    const int64_t half = (slots + 1) / 2, cells = half * channels;
    const int64_t added = (slots - half) * channels;
    const float *upper = samples + cells;
    for (int64_t i = 0; i < added; i++)
        x[i] = (double)samples[i] + (double)upper[i];
    for (int64_t i = added; i < cells; i++)
        x[i] = samples[i];
    tree_sum(x, half, channels);
    for (int64_t c = 0; c < channels; c++)
        x[c] /= (double)slots;
}

/* The score of a window with these means; the first windows only teach. */
static float score_window(const norm_rule_t *rule, const norms_t *norms, int64_t row,
                          const double *x)
{
    const int32_t seen = norms->seen[row];
    const int warm = seen < rule->warmup_windows;
    const double weight = warm ? 1.0 / (seen + 1.0) : rule->alpha;
    double *mean = norms->mean + row * rule->channels;
    double *variance = norms->variance + row * rule->channels;
    double farthest = 0.0;
    for (int64_t c = 0; c < rule->channels; c++) {
        double step = x[c] - mean[c];
        if (!warm) {
            double sigma = larger(sqrt(variance[c]), rule->deviation_floor);
            double clip = CLIP_SIGMA * sigma;
            farthest = larger(farthest, fabs(step / sigma));
            step = smaller(larger(step, -clip), clip);
        }
        mean[c] = mean[c] + weight * step;
        variance[c] = (1.0 - weight) * (variance[c] + weight * step * step);
    }
    norms->seen[row] = seen + 1;
    return (float)smaller(farthest, FLT_MAX);
}

int score_windows(const norm_rule_t *rule, const norms_t *norms, int64_t n, const int64_t *rows,
                  const float *samples, float *scores)
{
    const int64_t cells = rule->slots * rule->channels;
    double *x = malloc((rule->slots + 1) / 2 * rule->channels * sizeof *x);
    if (x == NULL)
        return -1;
    for (int64_t i = 0; i < n; i++) {
        means(samples + i * cells, rule->slots, rule->channels, x);
        scores[i] = score_window(rule, norms, rows[i], x);
    }
    free(x);
    return 0;
}
