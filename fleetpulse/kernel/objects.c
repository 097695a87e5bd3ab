/* Passes over Python's own objects, which are a record's price where frames are short. */
#include "door.h"

enum { REFUSAL, PARTITION, OFFSET, TIMESTAMP, KEY, VALUE, GETTERS };

/* The integer that `getter` answers, or that is at `item` of the tuple that it answers. */
static int number_of(PyObject *getter, PyObject *of, int item, int64_t *into)
{
    PyObject *answer = PyObject_CallOneArg(getter, of), *number = answer;
    if (answer == NULL)
        return -1;
    if (item >= 0) {
        int inside = PyTuple_CheckExact(answer) && item < PyTuple_GET_SIZE(answer);
        number = inside ? PyTuple_GET_ITEM(answer, item) : Py_None;
    }
    *into = PyLong_AsLongLong(number);
    Py_DECREF(answer);
    return *into == -1 && PyErr_Occurred() ? -1 : 0;
}

/* The bytes that `getter` answers; none are empty ones. */
static int bytes_of(PyObject *getter, PyObject *of, PyObject *into, Py_ssize_t at)
{
    PyObject *answer = PyObject_CallOneArg(getter, of);
    if (answer == Py_None) {
        Py_DECREF(answer);
        answer = PyBytes_FromStringAndSize(NULL, 0);
    }
    if (answer == NULL)
        return -1;
    PyList_SET_ITEM(into, at, answer);
    return 0;
}

/* A message's numbers and bytes to place i. 1: it is refused; -1: failed. */
static int take_message(PyObject *const *get, PyObject *message, int64_t *const numbers[3],
                        PyObject *keys, PyObject *values, Py_ssize_t i)
{
    PyObject *refusal = PyObject_CallOneArg(get[REFUSAL], message);
    if (refusal == NULL)
        return -1;
    Py_DECREF(refusal);
    if (refusal != Py_None)
        return 1;
    int failed = number_of(get[PARTITION], message, -1, &numbers[0][i]) < 0 ||
                 number_of(get[OFFSET], message, -1, &numbers[1][i]) < 0 ||
                 number_of(get[TIMESTAMP], message, 1, &numbers[2][i]) < 0 ||
                 bytes_of(get[KEY], message, keys, i) < 0 ||
                 bytes_of(get[VALUE], message, values, i) < 0;
    return failed ? -1 : 0;
}

PyDoc_STRVAR(messages_doc,
             "messages(messages, getters) -> partitions, offsets, log_time_ms, keys, values\n\n"
             "getters: functions of a message that answer its refusal, partition, offset,\n"
             "(kind, log_time_ms), key, value. None: a message is refused.");

static PyObject *py_messages(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!arity("messages", nargs, 2))
        return NULL;
    if (!PyList_CheckExact(args[0]) || !PyTuple_CheckExact(args[1]) ||
        PyTuple_GET_SIZE(args[1]) != GETTERS)
        return PyErr_Format(PyExc_TypeError, "messages must be a list, getters %d", GETTERS);
    const Py_ssize_t n = PyList_GET_SIZE(args[0]);
    PyObject *keys = PyList_New(n), *values = PyList_New(n), *found = NULL, *memories = NULL;
    column_t columns[3] = {0};
    int64_t *numbers[3];
    int room = 1, failed = keys == NULL || values == NULL ? -1 : 0;
    for (int i = 0; i < 3; i++) {
        numbers[i] = column_add(&columns[i], n * sizeof(int64_t));
        room = room && numbers[i] != NULL;
    }
    if (!room) {
        failed = -1;
        PyErr_NoMemory();
    }
    /* the caller's list holds the messages meanwhile */
    for (Py_ssize_t i = 0; !failed && i < n; i++)
        failed = take_message(&PyTuple_GET_ITEM(args[1], 0), PyList_GET_ITEM(args[0], i), numbers,
                              keys, values, i);
    if (!failed && (memories = handed_over(columns, 3)) != NULL)
        found = PyTuple_Pack(5, PyTuple_GET_ITEM(memories, 0), PyTuple_GET_ITEM(memories, 1),
                             PyTuple_GET_ITEM(memories, 2), keys, values);
    for (int i = 0; failed && i < 3; i++)
        free(columns[i].data);
    Py_XDECREF(memories);
    Py_XDECREF(keys);
    Py_XDECREF(values);
    return failed > 0 ? Py_NewRef(Py_None) : found;
}

PyDoc_STRVAR(places_doc, "places(keys, key) -> where it is, in order");

static PyObject *py_places(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!arity("places", nargs, 2))
        return NULL;
    if (!PyList_CheckExact(args[0]) || !PyBytes_CheckExact(args[1]))
        return PyErr_Format(PyExc_TypeError, "keys must be a list, key bytes");
    const char *key = PyBytes_AS_STRING(args[1]);
    const Py_ssize_t length = PyBytes_GET_SIZE(args[1]);
    PyObject *found = PyList_New(0);
    for (Py_ssize_t i = 0; found && i < PyList_GET_SIZE(args[0]); i++) {
        PyObject *each = PyList_GET_ITEM(args[0], i);
        if (!PyBytes_CheckExact(each)) {
            PyErr_SetString(PyExc_TypeError, "keys must be bytes");
            Py_CLEAR(found);
        } else if (PyBytes_GET_SIZE(each) == length &&
                   memcmp(PyBytes_AS_STRING(each), key, length) == 0) {
            PyObject *place = PyLong_FromSsize_t(i);
            if (place == NULL || PyList_Append(found, place) < 0)
                Py_CLEAR(found);
            Py_XDECREF(place);
        }
    }
    return found;
}

PyDoc_STRVAR(look_up_doc, "look_up(numbers, keys, found)\n\n"
                          "numbers: a dict; found: int64, unchanged where a key has no number.");

static PyObject *py_look_up(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    buffers_t in;
    if (!arity("look_up", nargs, 3))
        return NULL;
    if (!PyDict_CheckExact(args[0]) || !PyList_CheckExact(args[1]))
        return PyErr_Format(PyExc_TypeError, "numbers must be a dict, keys a list");
    if (take_buffers(args + 2, 1, &in) < 0)
        return NULL;
    const int64_t widths[] = {8, 0};
    const Py_ssize_t n = PyList_GET_SIZE(args[1]);
    int64_t *found = AT(in, 0);
    int usable = same_length(&in, 0, widths, n);
    for (Py_ssize_t i = 0; usable && i < n; i++) {
        PyObject *number = PyDict_GetItemWithError(args[0], PyList_GET_ITEM(args[1], i));
        if (number != NULL)
            found[i] = PyLong_AsLongLong(number);
        usable = (number != NULL && found[i] != -1) || !PyErr_Occurred();
    }
    give_back(&in);
    if (!usable)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef object_methods[] = {
    METHOD(messages),
    METHOD(places),
    METHOD(look_up),
    {NULL, NULL, 0, NULL},
};
