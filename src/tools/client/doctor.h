/* SPDX-License-Identifier: MIT */
/* What the parts of the doctor share: findings, a line each. */
#pragma once

#include "tools/client/tool.h"

typedef struct Doctor {
    const ToolOptions *options;
    unsigned n_problems;
    int64_t peer; /* that shall answer; -1: none */
} Doctor;

/** Something is as it should be. */
__attribute__((format(printf, 1, 2))) void doctor_good(const char *format, ...);

/** Something is wrong. `remedy`, which may be NULL, is what to do about it. */
__attribute__((format(printf, 3, 4))) void doctor_bad(Doctor *doctor, const char *remedy,
                                                      const char *format, ...);

/** Looks at a server's socket and everything behind it. */
void doctor_check_socket(Doctor *doctor, const char *path);

/** Looks at the machine's devices. Gives STATUS_OK, or an error that has been shown. */
int doctor_check_devices(Doctor *doctor);

/** Has the peer answer, if one was named. */
void doctor_check_peer(Doctor *doctor, IvshmemPort *port);
