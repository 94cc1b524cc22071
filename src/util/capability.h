/* SPDX-License-Identifier: MIT */
/* What this process is privileged to do. */
#pragma once

#include <linux/capability.h>
#include <stdbool.h>

/** Whether it has a capability (CAP_...) in effect. One within a user namespace is one, too. */
bool capability_is_effective(int capability);
