/* SPDX-License-Identifier: MIT */
/* cmocka.h behind the headers that it needs before it. For tests only. */
#pragma once

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
