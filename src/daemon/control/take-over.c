/* SPDX-License-Identifier: MIT */
#include "daemon/control/command.h"
#include "daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>

/* The session that asked for it is handed everything when it has been answered. */
int run_take_over(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    (void)arguments;
    if (getenv("NOTIFY_SOCKET"))
        return error_set(
            error, -EPERM,
            "the server runs under a service manager, which would take its end for the "
            "service's: restart the service instead");
    if (daemon->manifest_fd < 0)
        return error_set(error, -EINVAL, "the server keeps no state that could be handed over");
    *result = json_pack("{s:i}", "manifest", daemon->manifest_fd);
    daemon->control.hands_over = true;
    return 0;
}
