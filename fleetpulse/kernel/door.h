/* What the doors in module.c share. */
#ifndef FLEETPULSE_DOOR_H
#define FLEETPULSE_DOOR_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernel.h"

/* Columns out: bytes that the kernel wrote, freed with the object that holds them. */

extern PyTypeObject MemoryType;

/* A tuple of the columns, which are its own from here on. */
PyObject *handed_over(column_t *columns, int n);
/* Frees the columns; no memory. */
PyObject *dropped(column_t *columns, int n);

/* Arguments in: where one cannot be used, an exception is set. */

#define BUFFERS_MAX 24

typedef struct {
    Py_buffer views[BUFFERS_MAX];
    int n;
} buffers_t;

int arity(const char *name, Py_ssize_t given, Py_ssize_t wanted);
int take_buffers(PyObject *const *args, int n, buffers_t *buffers);
void give_back(buffers_t *buffers);
int numbers(PyObject *const *args, int n, int64_t *into);
int reals(PyObject *const *args, int n, double *into);
/* Every buffer from `first` on has n items of so many bytes each; 0 ends the list. */
int same_length(const buffers_t *buffers, int first, const int64_t *bytes, int64_t n);

#define AT(buffers, i) ((buffers).views[i].buf)
#define ITEMS(buffers, i) ((buffers).views[i].len / (Py_ssize_t)sizeof(int64_t))

/* A function py_name with its name_doc. */
#define METHOD(name)                                                                               \
    {#name, (PyCFunction)(void (*)(void))py_##name, METH_FASTCALL, name##_doc}

/* objects.c */
extern PyMethodDef object_methods[];

#endif
