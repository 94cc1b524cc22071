/* SPDX-License-Identifier: MIT */
/* Offsets and bits are from PCI Local Bus 3.0, 6.1 (header), 6.7 (capabilities), 6.8.2 (MSI-X). */
#include "device/config.h"

#include <endian.h>
#include <errno.h>
#include <unistd.h>

#define CONFIG_STATUS              0x06
#define CONFIG_STATUS_CAPABILITIES 0x10
#define CONFIG_CAPABILITIES        0x34
#define CAPABILITY_MSIX            0x11
#define MSIX_CONTROL               2 /* from the capability's start */
#define MSIX_CONTROL_SIZE          0x7ff
#define N_CAPABILITIES_MAX         48 /* 192 bytes of 4: a longer list is a loop */

static int result_of(ssize_t n, size_t want)
{
    if (n < 0)
        return -errno;
    return (size_t)n == want ? 0 : -EIO;
}

int config_read16(const Config *config, unsigned offset, uint16_t *out)
{
    uint16_t little;
    int result = result_of(pread(config->fd, &little, sizeof(little), config->base + offset),
                           sizeof(little));

    if (result == 0)
        *out = le16toh(little);
    return result;
}

int config_write16(const Config *config, unsigned offset, uint16_t value)
{
    uint16_t little = htole16(value);

    return result_of(pwrite(config->fd, &little, sizeof(little), config->base + offset),
                     sizeof(little));
}

int config_n_vectors(const Config *config)
{
    uint16_t value = 0;
    unsigned at;
    int result = config_read16(config, CONFIG_STATUS, &value);

    if (result < 0)
        return result;
    if (!(value & CONFIG_STATUS_CAPABILITIES))
        return 0;
    result = config_read16(config, CONFIG_CAPABILITIES, &value);
    if (result < 0)
        return result;
    at = value & 0xfc;
    for (unsigned i = 0; at && i < N_CAPABILITIES_MAX; i++) {
        result = config_read16(config, at, &value);
        if (result < 0)
            return result;
        if ((value & 0xff) == CAPABILITY_MSIX) {
            result = config_read16(config, at + MSIX_CONTROL, &value);
            return result < 0 ? result : (value & MSIX_CONTROL_SIZE) + 1;
        }
        at = value >> 8 & 0xfc;
    }
    return 0;
}
