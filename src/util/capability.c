/* SPDX-License-Identifier: MIT */
#include "util/capability.h"

#include <sys/syscall.h>
#include <unistd.h>

/* seccomp: capget */
bool capability_is_effective(int capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3] = {0};

    return syscall(SYS_capget, &header, has) == 0 &&
           has[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}
