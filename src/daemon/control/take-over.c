/* SPDX-License-Identifier: MIT */
#include "daemon/control/command.h"
#include "daemon/daemon.h"
#include "daemon/resume/record.h"
#include "daemon/resume/succession.h"

#include <errno.h>

int run_query_manifest(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    int r = succession_check(daemon, error);

    (void)arguments;
    if (r < 0)
        return r;
    *result = record_text(daemon);
    return *result ? 0 : error_set(error, -ENOMEM, "no memory for the manifest");
}

/* The session that asked for it is handed everything when it has been answered, and says so. */
int run_take_over(Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    int r = succession_check(daemon, error);

    (void)arguments;
    if (r < 0)
        return r;
    *result = json_pack("{s:i,s:b}", "manifest", daemon->manifest_fd, "passes-ahead", true);
    succession_begin(daemon);
    daemon->control.hands_over = true;
    return 0;
}
