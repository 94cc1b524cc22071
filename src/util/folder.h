/* SPDX-License-Identifier: MIT */
/* The folder that a path lies in. */
#pragma once

#include <limits.h>

/** The folder of a path, which is "." for one without a slash. @return a constant, or `buffer` */
const char *folder_of(const char *path, char buffer[static PATH_MAX]);
