/* Memory of the kernel that Python owns, and arguments that are buffers. */
#include "door.h"

/* Memory that came out of the kernel, freed with this object. */
typedef struct {
    PyObject_HEAD
    column_t column;
} Memory;

static int memory_view(PyObject *self, Py_buffer *view, int flags)
{
    static char nothing;
    column_t *column = &((Memory *)self)->column;
    void *data = column->data ? column->data : &nothing;
    return PyBuffer_FillInfo(view, self, data, column->size, 0, flags);
}

static Py_ssize_t memory_length(PyObject *self)
{
    return ((Memory *)self)->column.size;
}

static void memory_free(PyObject *self)
{
    free(((Memory *)self)->column.data);
    PyObject_Free(self);
}

static PyBufferProcs memory_buffer = {.bf_getbuffer = memory_view};
static PySequenceMethods memory_sequence = {.sq_length = memory_length};
PyTypeObject MemoryType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "fleetpulse.kernel.native.Memory",
    .tp_basicsize = sizeof(Memory),
    .tp_dealloc = memory_free,
    .tp_as_buffer = &memory_buffer,
    .tp_as_sequence = &memory_sequence,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Bytes that the kernel wrote.",
};

PyObject *handed_over(column_t *columns, int n)
{
    PyObject *tuple = PyTuple_New(n);
    for (int i = 0; i < n; i++) {
        Memory *memory = tuple ? PyObject_New(Memory, &MemoryType) : NULL;
        if (memory == NULL) {
            free(columns[i].data);
            Py_CLEAR(tuple);
            continue;
        }
        memory->column = columns[i];
        PyTuple_SET_ITEM(tuple, i, (PyObject *)memory);
    }
    return tuple;
}

PyObject *dropped(column_t *columns, int n)
{
    for (int i = 0; i < n; i++)
        free(columns[i].data);
    return PyErr_NoMemory();
}

/* Arguments */

void give_back(buffers_t *buffers)
{
    while (buffers->n > 0)
        PyBuffer_Release(&buffers->views[--buffers->n]);
}

int take_buffers(PyObject *const *args, int n, buffers_t *buffers)
{
    for (buffers->n = 0; buffers->n < n; buffers->n++) {
        if (PyObject_GetBuffer(args[buffers->n], &buffers->views[buffers->n], PyBUF_SIMPLE) < 0) {
            give_back(buffers);
            return -1;
        }
    }
    return 0;
}

int numbers(PyObject *const *args, int n, int64_t *into)
{
    for (int i = 0; i < n; i++) {
        into[i] = PyLong_AsLongLong(args[i]);
        if (into[i] == -1 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

int reals(PyObject *const *args, int n, double *into)
{
    for (int i = 0; i < n; i++) {
        into[i] = PyFloat_AsDouble(args[i]);
        if (into[i] == -1.0 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

int arity(const char *name, Py_ssize_t given, Py_ssize_t wanted)
{
    if (given != wanted)
        PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, not %zd", name, wanted, given);
    return given == wanted;
}

int same_length(const buffers_t *buffers, int first, const int64_t *bytes, int64_t n)
{
    for (int i = 0; bytes[i]; i++) {
        if (buffers->views[first + i].len != n * bytes[i]) {
            PyErr_Format(PyExc_ValueError, "argument %d has %zd bytes, not %lld", first + i,
                         buffers->views[first + i].len, (long long)(n * bytes[i]));
            return 0;
        }
    }
    return 1;
}
