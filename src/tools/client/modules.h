/* SPDX-License-Identifier: MIT */
/* The kernel's modules that setup needs. */
#pragma once

#include <stdbool.h>

/** Whether the kernel's vfio-pci is there, with the IOMMU model that it needs. */
bool modules_are_loaded(void);

/**
 * Loads them, with modprobe if there is one, from the files of this kernel otherwise. Errors are
 * shown.
 *
 * @param show  print what would be done instead
 * @return an exit status
 */
int modules_load(bool show);
