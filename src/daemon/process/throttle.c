/* SPDX-License-Identifier: MIT */
#include "daemon/process/throttle.h"

#include <ctype.h>

/* FNV-1a, of what two lines of one cause have in common. */
static uint64_t add_hash(uint64_t hash, const char *text)
{
    unsigned depth = 0;

    for (; *text; text++) {
        depth += *text == '(';
        if (depth == 0 && !isdigit((unsigned char)*text))
            hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
        depth -= depth && *text == ')';
    }
    return hash;
}

/* The row of a cause: its own, or that which has been quiet for longest. */
static ThrottleCause *find(Throttle *throttle, uint64_t hash)
{
    ThrottleCause *oldest = &throttle->causes[0];

    for (unsigned i = 0; i < THROTTLE_CAUSES; i++) {
        ThrottleCause *cause = &throttle->causes[i];

        if (cause->hash == hash)
            return cause;
        if (cause->began < oldest->began)
            oldest = cause;
    }
    *oldest = (ThrottleCause){.hash = hash};
    return oldest;
}

bool throttle_allows(Throttle *throttle, const char *region, const char *line, int64_t now,
                     unsigned *n_hidden)
{
    uint64_t hash = add_hash(UINT64_C(14695981039346656037), region ? region : "");
    ThrottleCause *cause = find(throttle, add_hash(hash, line));

    if (cause->began == 0 || now - cause->began >= THROTTLE_PERIOD) {
        cause->began = now;
        cause->n_shown = 0;
    }
    if (cause->n_shown == THROTTLE_LINES) {
        cause->n_hidden++;
        return false;
    }
    cause->n_shown++;
    *n_hidden = cause->n_hidden;
    cause->n_hidden = 0;
    return true;
}
