/* SPDX-License-Identifier: MIT */
/*
 * The small text files in which the kernel shows a PCI device: ROOT/sys/bus/pci/devices/ADDRESS/x.
 * The root is "" for the system's own; tests build a tree of their own. Nothing here logs.
 */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_DEVICES "/sys/bus/pci/devices"

/** Writes the path of a device's file. @return 0 or -ENAMETOOLONG */
int attribute_path(char path[static PATH_MAX], const char *root, const char *address,
                   const char *leaf);

/** Reads a file's first line without its newline. @return 0 or a negative errno */
int attribute_read(const char *root, const char *address, const char *leaf, char *text,
                   size_t size);

/** Reads a hexadecimal number ("0x1af4"). @return 0, -EINVAL if it is none, or what reading said */
int attribute_read_number(const char *root, const char *address, const char *leaf, uint64_t *out);

/** The last part of where a symbolic link leads. @return 0 or a negative errno */
int attribute_link(const char *root, const char *address, const char *leaf, char *text,
                   size_t size);

/** Writes a text in one write(2), as sysfs wants it, into a file that is there. */
int attribute_write(const char *path, const char *text);
