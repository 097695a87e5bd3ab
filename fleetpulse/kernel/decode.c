/* Canonical blocks (fleetpulse/wire.py) that any device may send, straight to pieces. Whatever
 * else there is, usable or not, is left to the parser: its number goes to `odd`. */
#include "kernel.h"

#define HEADER_BYTES 38
#define DEVICE_TAG 0x72

typedef uint32_t unaligned_u32 __attribute__((aligned(1), may_alias));

static inline int64_t i64_at(const uint8_t *at)
{
    int64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t u32_at(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* Length of a field and where it begins; -1: let the parser see. */
static int64_t field(const uint8_t *value, int64_t length, int64_t *at)
{
    int64_t size = 0;
    for (int shift = 0; shift < 28 && *at < length; shift += 7) {
        uint8_t byte = value[(*at)++];
        size |= (int64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return size;
    }
    return -1;
}

/* Where the samples are; their bytes, or -1. */
static int64_t body(const uint8_t *value, int64_t length, int64_t *begin)
{
    if (length <= HEADER_BYTES || value[0] != 0x41 || value[9] != 0x49 || value[18] != 0x51 ||
        value[27] != 0x5D || value[32] != 0x65 || value[37] != 0x6A)
        return -1;
    *begin = HEADER_BYTES;
    int64_t bytes = field(value, length, begin);
    if (bytes <= 0 || bytes > length - *begin)
        return -1;
    int64_t end = *begin + bytes;
    if (end == length)
        return bytes;
    if (value[end++] != DEVICE_TAG)
        return -1;
    int64_t name = field(value, length, &end);
    if (name != length - end)
        return -1;
    uint8_t text = 0;
    while (end < length)
        text |= value[end++];
    return text < 0x80 ? bytes : -1; /* other text than ASCII may be no UTF-8 */
}

/* Whether a frame of so many samples is due between the bounds of event time. */
static int in_time(const frame_rule_t *rule, int64_t t0_us, int64_t count, int64_t log_time_us)
{
    int64_t latest_us = log_time_us + rule->future_us;
    if (t0_us < log_time_us - rule->past_us || t0_us > latest_us)
        return 0;
    return count == 1 || rule->period_ns <= (latest_us - t0_us) * 1000 / (count - 1);
}

/* Copy, and say whether all are finite. */
static int copy_finite(float *to, const uint8_t *from, int64_t values)
{
    const unaligned_u32 *source = (const unaligned_u32 *)from;
    unaligned_u32 *target = (unaligned_u32 *)to;
    uint32_t infinite = 0;
    for (int64_t i = 0; i < values; i++) {
        uint32_t bits = source[i];
        infinite |= -(uint32_t)((bits & 0x7F800000u) == 0x7F800000u);
        target[i] = bits;
    }
    return infinite == 0;
}

int read_frames(const frame_rule_t *rule, int64_t n, const uint8_t *const *values,
                const int64_t *lengths, const int64_t *log_time_us, frames_t *out)
{
    const int64_t sample_bytes = 4 * rule->channels;
    int64_t room = 0;
    for (int64_t i = 0; i < n; i++)
        room += lengths[i];
    int64_t *records = column_add(&out->records, n * sizeof *records);
    int64_t *slots = column_add(&out->slots, n * sizeof *slots);
    int64_t *counts = column_add(&out->counts, n * sizeof *counts);
    int64_t *sources = column_add(&out->sources, n * sizeof *sources);
    float *samples = column_add(&out->samples, room);
    if (!records || !slots || !counts || !sources || !samples)
        return -1;
    int64_t taken = 0, source = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *value = values[i];
        int64_t begin, bytes = body(value, lengths[i], &begin);
        int64_t count = bytes / sample_bytes;
        int usable = bytes > 0 && bytes % sample_bytes == 0 && count <= rule->count_max &&
                     u32_at(value + 33) == count;
        if (usable) {
            int64_t t0_us = i64_at(value + 1), revision = u32_at(value + 28);
            usable = (revision == 0 || revision == rule->revision) &&
                     (count == 1 || i64_at(value + 10) == rule->period_ns) &&
                     in_time(rule, t0_us, count, log_time_us[i]) &&
                     copy_finite(samples + source * rule->channels, value + begin,
                                 count * rule->channels);
            if (usable) {
                records[taken] = i;
                slots[taken] = floor_div(t0_us * 1000 + rule->period_ns / 2, rule->period_ns);
                counts[taken] = count;
                sources[taken] = source;
                taken++;
                source += count;
            }
        }
        if (!usable && column_put(&out->odd, i) < 0)
            return -1;
    }
    out->records.size = out->slots.size = taken * sizeof(int64_t);
    out->counts.size = out->sources.size = taken * sizeof(int64_t);
    out->samples.size = source * sample_bytes;
    return 0;
}
