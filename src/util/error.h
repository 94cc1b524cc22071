/* SPDX-License-Identifier: MIT */
/* The text of an error, which says what, which and why, on its way to whoever shows it. */
#pragma once

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct ErrorText {
    char text[PATH_MAX + 256];
    int error; /* the negative errno that goes with it */
} ErrorText;

/** Writes the text. Gives the error (a negative errno) back, to be returned. */
__attribute__((format(printf, 3, 4))) static inline int error_set(ErrorText *error, int r,
                                                                  const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    error->error = r;
    return r;
}
