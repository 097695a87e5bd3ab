/* The kernel's door to Python: arrays in by their buffers, columns out as buffers of their own.
 * Callers hand in C-contiguous arrays of the right type; sizes are checked. */
#include "door.h"

PyDoc_STRVAR(decode_doc,
             "decode(rule, log_time_us, values) -> records, slots, counts, sources, samples, odd\n\n"
             "rule: int64 [channels, revision, count_max, period_ns, future_us, past_us].");

static PyObject *py_decode(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!arity("decode", nargs, 3))
        return NULL;
    PyObject *list = args[2];
    if (!PyList_CheckExact(list))
        return PyErr_Format(PyExc_TypeError, "values must be a list");
    buffers_t in;
    if (take_buffers(args, 2, &in) < 0)
        return NULL;
    Py_ssize_t n = PyList_GET_SIZE(list);
    const int64_t widths[] = {8, 0};
    if (in.views[0].len != sizeof(frame_rule_t) || !same_length(&in, 1, widths, n)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "rule has another size");
        give_back(&in);
        return NULL;
    }
    const uint8_t **values = malloc((n + 1) * sizeof *values);
    int64_t *lengths = malloc((n + 1) * sizeof *lengths);
    int failed = values == NULL || lengths == NULL;
    for (Py_ssize_t i = 0; !failed && i < n; i++) {
        PyObject *value = PyList_GET_ITEM(list, i);
        failed = !PyBytes_CheckExact(value);
        values[i] = failed ? NULL : (const uint8_t *)PyBytes_AS_STRING(value);
        lengths[i] = failed ? 0 : PyBytes_GET_SIZE(value);
        if (failed)
            PyErr_SetString(PyExc_TypeError, "values must be bytes");
    }
    frames_t out = {0};
    if (!failed) {
        /* the caller's batch holds the values meanwhile */
        Py_BEGIN_ALLOW_THREADS;
        failed = read_frames(AT(in, 0), n, values, lengths, AT(in, 1), &out) < 0;
        Py_END_ALLOW_THREADS;
    }
    free(values);
    free(lengths);
    give_back(&in);
    column_t columns[] = {out.records, out.slots, out.counts, out.sources, out.samples, out.odd};
    if (failed) {
        if (PyErr_Occurred())
            return NULL; /* before anything was written */
        return dropped(columns, 6);
    }
    return handed_over(columns, 6);
}

PyDoc_STRVAR(advance_doc, "advance(partitions, ticks, log_us, attended_us, clocks, step_max_us)\n\n"
                          "partitions: int32; clocks: int64 [partitions, 3], see clock_row_t.");

static PyObject *py_advance(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    int64_t step_max_us;
    buffers_t in;
    if (!arity("advance", nargs, 6) || numbers(args + 5, 1, &step_max_us) < 0 ||
        take_buffers(args, 5, &in) < 0)
        return NULL;
    const int64_t n = ITEMS(in, 2);
    const int32_t *partitions = AT(in, 0);
    const int64_t known = in.views[4].len / (Py_ssize_t)sizeof(clock_row_t);
    const int64_t widths[] = {4, 1, 8, 8, 0};
    int usable = same_length(&in, 0, widths, n);
    for (int64_t i = 0; usable && i < n; i++)
        usable = 0 <= partitions[i] && partitions[i] < known;
    if (usable)
        advance(n, partitions, AT(in, 1), step_max_us, AT(in, 4), AT(in, 2), AT(in, 3));
    else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "a record of a partition that there is not");
    give_back(&in);
    if (!usable)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(charge_doc, "charge(rows, counts, log_time_us, paid_ns, refused, cost_ns, burst_ns)");

static PyObject *py_charge(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    int64_t scalars[2];
    buffers_t in;
    if (!arity("charge", nargs, 7) || numbers(args + 5, 2, scalars) < 0 ||
        take_buffers(args, 5, &in) < 0)
        return NULL;
    const int64_t n = ITEMS(in, 0);
    const int64_t widths[] = {8, 8, 0};
    int usable = same_length(&in, 1, widths, n);
    if (usable)
        charge(n, AT(in, 0), AT(in, 1), AT(in, 2), scalars[0], scalars[1], AT(in, 3), AT(in, 4));
    give_back(&in);
    if (!usable)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    absorb_doc,
    "absorb(ring, head, settled, last_missing, phases, layout, rows, slots, counts, sources,\n"
    "       samples, complete, coverage_min) -> late, moved, events, window rows, ends, samples,\n"
    "       second rows, index, count, min, max, mean, m2");

static PyObject *py_absorb(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    buffers_t in;
    if (!arity("absorb", nargs, 13))
        return NULL;
    int complete = PyObject_IsTrue(args[11]);
    double coverage_min;
    if (complete < 0 || reals(args + 12, 1, &coverage_min) < 0 || take_buffers(args, 11, &in) < 0)
        return NULL;
    const int64_t n = ITEMS(in, 6);
    const int64_t widths[] = {8, 8, 8, 0};
    if (in.views[5].len != sizeof(layout_t) || !same_length(&in, 7, widths, n)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "layout has another size");
        give_back(&in);
        return NULL;
    }
    rings_t rings = {*(layout_t *)AT(in, 5), coverage_min, AT(in, 0), AT(in, 1), AT(in, 2),
                     AT(in, 3),              AT(in, 4),    ITEMS(in, 1)};
    pieces_t pieces = {n, AT(in, 6), AT(in, 7), AT(in, 8), AT(in, 9), AT(in, 10), complete};
    closed_t out = {0};
    int failed;
    Py_BEGIN_ALLOW_THREADS;
    failed = absorb(&rings, &pieces, &out) < 0;
    Py_END_ALLOW_THREADS;
    give_back(&in);
    column_t columns[] = {
        out.late,        out.moved,        out.events,       out.window_rows, out.window_ends,
        out.window_samples, out.second_rows, out.second_index, out.second_count, out.second_min,
        out.second_max,  out.second_mean,  out.second_m2,
    };
    return failed ? dropped(columns, 13) : handed_over(columns, 13);
}

PyDoc_STRVAR(score_windows_doc,
             "score_windows(rows, samples, scores, seen, mean, variance, slots, channels,\n"
             "              warmup_windows, alpha, deviation_floor)\n\n"
             "seen: int32; samples: float32 [rows, slots, channels], no NaN; scores: float32.");

static PyObject *py_score_windows(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    int64_t sizes[3];
    double factors[2];
    buffers_t in;
    if (!arity("score_windows", nargs, 11) || numbers(args + 6, 3, sizes) < 0 ||
        reals(args + 9, 2, factors) < 0 || take_buffers(args, 6, &in) < 0)
        return NULL;
    const norm_rule_t rule = {sizes[0], sizes[1], sizes[2], factors[0], factors[1]};
    const norms_t norms = {AT(in, 3), AT(in, 4), AT(in, 5)};
    const int64_t n = ITEMS(in, 0), known = in.views[3].len / (Py_ssize_t)sizeof *norms.seen;
    const int64_t *rows = AT(in, 0);
    const int64_t of_window[] = {4 * rule.slots * rule.channels, 4, 0};
    const int64_t of_row[] = {4, 8 * rule.channels, 8 * rule.channels, 0};
    int usable = rule.slots > 0 && rule.channels > 0;
    for (int64_t i = 0; usable && i < n; i++)
        usable = 0 <= rows[i] && rows[i] < known;
    if (!usable)
        PyErr_SetString(PyExc_ValueError, "no samples, or a row that there is not");
    usable = usable && same_length(&in, 1, of_window, n) && same_length(&in, 3, of_row, known);
    int failed = 0;
    if (usable) {
        Py_BEGIN_ALLOW_THREADS;
        failed = score_windows(&rule, &norms, n, rows, AT(in, 1), AT(in, 2)) < 0;
        Py_END_ALLOW_THREADS;
    }
    give_back(&in);
    if (failed)
        return PyErr_NoMemory();
    if (!usable)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(alerts_doc,
             "alerts(rows, starts_us, ends_us, scores, over, under, open, raised_us,\n"
             "       raised_start_us, cleared_us, peak, score, score_us, rule) -> [window, raised,\n"
             "       raised_us, raised_start_us, peak] of each transition\n\n"
             "rule: float64 [threshold, clear_below, raise_after, clear_after, dedup_us].");

static PyObject *py_alerts(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    buffers_t in;
    if (!arity("alerts", nargs, 14) || take_buffers(args, 14, &in) < 0)
        return NULL;
    const int64_t n = ITEMS(in, 0);
    const int64_t widths[] = {8, 8, 4, 0};
    PyObject *found = NULL;
    if (!same_length(&in, 1, widths, n) || !(found = PyList_New(0)))
        goto end;
    const double *rule = AT(in, 13);
    alerts_t alerts = {rule[0],    rule[1],    (int64_t)rule[2], (int64_t)rule[3], (int64_t)rule[4],
                       AT(in, 4),  AT(in, 5),  AT(in, 6),        AT(in, 7),        AT(in, 8),
                       AT(in, 9),  AT(in, 10), AT(in, 11),       AT(in, 12)};
    const int64_t *rows = AT(in, 0), *starts_us = AT(in, 1), *ends_us = AT(in, 2);
    const float *scores = AT(in, 3);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = rows[i];
        int change = alert_window(&alerts, row, starts_us[i], ends_us[i], scores[i]);
        if (!change)
            continue;
        PyObject *item =
            Py_BuildValue("LiLLd", (long long)i, change > 0, (long long)alerts.raised_us[row],
                          (long long)alerts.raised_start_us[row], (double)alerts.peak[row]);
        if (item == NULL || PyList_Append(found, item) < 0) {
            Py_XDECREF(item);
            Py_CLEAR(found);
            break;
        }
        Py_DECREF(item);
    }
end:
    give_back(&in);
    return found;
}

static PyObject *buckets_out(int failed, bucket_columns_t *out)
{
    column_t columns[] = {out->rows, out->index, out->count, out->min,
                          out->max,  out->mean,  out->m2,    out->over};
    return failed ? dropped(columns, 8) : handed_over(columns, 8);
}

static buckets_t buckets_at(const buffers_t *in, int first)
{
    return (buckets_t){
        in->views[first].buf,
        {in->views[first + 1].buf, in->views[first + 2].buf, in->views[first + 3].buf,
         in->views[first + 4].buf, in->views[first + 5].buf},
        in->views[first + 6].buf,
    };
}

PyDoc_STRVAR(join_doc,
             "join_scores(events, window rows, window ends, scores, second rows, index, count,\n"
             "            min, max, mean, m2, running index, count, min, max, mean, m2, over,\n"
             "            channels, threshold) -> rows, index, count, min, max, mean, m2, over");

static PyObject *py_join_scores(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    buffers_t in;
    int64_t channels;
    double threshold;
    if (!arity("join_scores", nargs, 20) || numbers(args + 18, 1, &channels) < 0 ||
        reals(args + 19, 1, &threshold) < 0 || take_buffers(args, 18, &in) < 0)
        return NULL;
    const int64_t windows[] = {8, 4, 0};
    if (!same_length(&in, 2, windows, ITEMS(in, 1))) {
        give_back(&in);
        return NULL;
    }
    score_events_t events = {
        ITEMS(in, 0), channels,  AT(in, 0), AT(in, 1), AT(in, 2), AT(in, 3), threshold,
        AT(in, 4),    AT(in, 5), {AT(in, 6), AT(in, 7), AT(in, 8), AT(in, 9), AT(in, 10)},
    };
    buckets_t running = buckets_at(&in, 11);
    bucket_columns_t out = {0};
    int failed = join_scores(&events, &running, &out) < 0;
    give_back(&in);
    return buckets_out(failed, &out);
}

PyDoc_STRVAR(fold_doc,
             "fold(rows, index, count, min, max, mean, m2, over, moved, settled,\n"
             "     running index, count, min, max, mean, m2, over, series, length, level_s,\n"
             "     period_ns) -> rows, index, count, min, max, mean, m2, over");

static PyObject *py_fold(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    buffers_t in;
    int64_t scalars[4];
    if (!arity("fold", nargs, 21) || numbers(args + 17, 4, scalars) < 0 ||
        take_buffers(args, 17, &in) < 0)
        return NULL;
    const int64_t n = ITEMS(in, 0);
    const int64_t wide = 8 * scalars[0];
    const int64_t widths[] = {8, wide, wide, wide, wide, wide, 8, 0};
    if (!same_length(&in, 1, widths, n)) {
        give_back(&in);
        return NULL;
    }
    parts_t parts = {
        n,         scalars[0], scalars[1],
        scalars[2], scalars[3], AT(in, 0),
        AT(in, 1), {AT(in, 2), AT(in, 3), AT(in, 4), AT(in, 5), AT(in, 6)},
        AT(in, 7), ITEMS(in, 8), AT(in, 8),
        AT(in, 9),
    };
    buckets_t running = buckets_at(&in, 10);
    bucket_columns_t out = {0};
    int failed = fold(&parts, &running, &out) < 0;
    give_back(&in);
    return buckets_out(failed, &out);
}

#define join_scores_doc join_doc

static PyMethodDef methods[] = {
    METHOD(decode), METHOD(advance), METHOD(charge), METHOD(absorb),
    METHOD(score_windows), METHOD(alerts), METHOD(join_scores), METHOD(fold),
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "fleetpulse.kernel.native",
    .m_doc = "The compiled part of the core; see docs/adr/0013-a-compiled-kernel.md.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_native(void)
{
    if (PyType_Ready(&MemoryType) < 0)
        return NULL;
    PyObject *native = PyModule_Create(&module);
    if (native && PyModule_AddFunctions(native, object_methods) < 0)
        Py_CLEAR(native);
    if (native && PyModule_AddStringConstant(native, "SOURCES", KERNEL_SOURCES) < 0)
        Py_CLEAR(native);
    return native;
}
