/* SPDX-License-Identifier: MIT */
/*
 * A device's PCI configuration space behind an fd: sysfs's `config` file, or vfio's region at an
 * offset of the device's fd. Little-endian registers, by pread and pwrite.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#define CONFIG_COMMAND            0x04
#define CONFIG_COMMAND_MEMORY     0x2 /* answers at its BARs */
#define CONFIG_COMMAND_BUS_MASTER 0x4 /* may write to memory: without it, no MSI-X leaves it */
#define CONFIG_REVISION           0x08

typedef struct Config {
    int fd;     /* borrowed */
    off_t base; /* of the configuration space in it */
} Config;

/** Reads a 16-bit register. @return 0, -EIO if it ended there, or a negative errno */
int config_read16(const Config *config, unsigned offset, uint16_t *out);

/** Writes a 16-bit register. Same errors. */
int config_write16(const Config *config, unsigned offset, uint16_t value);

/** How many vectors the MSI-X capability has: 1 to 2048, 0 if there is none. Same errors. */
int config_n_vectors(const Config *config);
