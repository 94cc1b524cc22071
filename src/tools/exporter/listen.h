/* SPDX-License-Identifier: MIT */
/* The TCP socket that the exporter serves. */
#pragma once

#include "util/error.h"

#define LISTEN_MAX_NAME 96 /* bytes of an address with its port */

/**
 * Listens for TCP at ADDRESS:PORT, where the address is a number, in brackets if it is an IPv6 one,
 * and port 0 any that is free.
 *
 * @param name  set to the address and port as they are
 * @return a descriptor that does not block, or a negative errno with the reason
 */
int listen_at(const char *text, char name[static LISTEN_MAX_NAME], ErrorText *error);
