/* SPDX-License-Identifier: MIT */
#include "tools/exporter/ask.h"

#include "util/deadline.h"

#include <errno.h>

static const char *const commands[N_QUESTIONS] = {
    [QUESTION_SELF] = "qmp_capabilities", /* the negotiation takes its place */
    [QUESTION_VERSION] = "query-version",     [QUESTION_STATUS] = "query-status",
    [QUESTION_REGIONS] = "query-regions",     [QUESTION_STATS] = "query-stats",
    [QUESTION_LISTENERS] = "query-listeners",
};

static void drop_answers(Ask *ask)
{
    for (unsigned i = 0; i < N_QUESTIONS; i++) {
        json_decref(ask->answers[i]);
        ask->answers[i] = NULL;
    }
}

/* The connection is of no more use. */
static AskResult finish(Ask *ask, AskResult result)
{
    qmp_close(&ask->qmp);
    ask->is_running = false;
    if (result == ASK_FAILED)
        drop_answers(ask);
    return result;
}

AskResult ask_begin(Ask *ask, const char *path, int timeout_ms)
{
    ask_end(ask);
    *ask = (Ask){.is_running = true, .began = deadline_now()};
    ask->deadline = deadline_after(timeout_ms);
    return qmp_connect(&ask->qmp, path, 0) < 0 ? finish(ask, ASK_FAILED) : ASK_GOES_ON;
}

static bool send_all(Ask *ask)
{
    for (unsigned i = 0; i < N_QUESTIONS; i++)
        if (qmp_send(&ask->qmp, commands[i], NULL) < 0)
            return false;
    return true;
}

/* False if it is not what should have come. */
static bool take(Ask *ask, json_t *message)
{
    json_t *result;

    if (!ask->is_greeted) {
        ask->is_greeted = qmp_check_greeting(&ask->qmp, message) == 0;
        return ask->is_greeted && send_all(ask);
    }
    if (json_object_get(message, "event"))
        return true;
    result = qmp_result(&ask->qmp, message);
    if (ask->n_answers == QUESTION_SELF)
        json_decref(result);
    else
        ask->answers[ask->n_answers] = result;
    ask->n_answers++;
    return result;
}

AskResult ask_go_on(Ask *ask)
{
    if (qmp_read(&ask->qmp) < 0)
        return finish(ask, ASK_FAILED);
    while (ask->n_answers < N_QUESTIONS && qmp_has_message(&ask->qmp)) {
        json_t *message = qmp_take(&ask->qmp);
        bool right = message && take(ask, message);

        json_decref(message);
        if (!right)
            return finish(ask, ASK_FAILED);
    }
    if (ask->n_answers == N_QUESTIONS)
        return finish(ask, ASK_DONE);
    if (deadline_left(ask->deadline) > 0)
        return ASK_GOES_ON;
    (void)error_set(&ask->qmp.error, -ETIMEDOUT, "%s: the server does not answer in time",
                    ask->qmp.path);
    return finish(ask, ASK_FAILED);
}

void ask_end(Ask *ask)
{
    if (ask->is_running)
        qmp_close(&ask->qmp);
    ask->is_running = false;
    drop_answers(ask);
}
