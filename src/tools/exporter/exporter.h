/* SPDX-License-Identifier: MIT */
/* ivshmem-exporter: what its parts share. */
#pragma once

#define PROGRAM "ivshmem-exporter"

/* Prometheus has given away all of 9100 to 9999, which it keeps for exporters. This is above, and
 * below what Linux gives to outgoing connections (from 32768 on). */
#define DEFAULT_LISTEN "127.0.0.1:10411"
