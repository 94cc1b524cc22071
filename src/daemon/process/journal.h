/* SPDX-License-Identifier: MIT */
/* systemd's journal, if that is where standard error leads: lines have fields there. */
#pragma once

#include <stdbool.h>

/** Opens the journal if we run under it, and it was built in. @return whether lines go there */
bool journal_open(void);

/** Sends a line. @param region  whose it is, or NULL */
void journal_send(int priority, const char *region, const char *line);
