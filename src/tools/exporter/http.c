/* SPDX-License-Identifier: MIT */
#include "tools/exporter/http.h"

#include "util/cleanup.h"
#include "util/deadline.h"

#include <errno.h>
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_CONNECTIONS 64U /* above that, they wait to be accepted */
#define MANY            48U /* above that, the oldest is cut for a newcomer: one turn accepts ten */
#define IDLE_S          10U
#define MEMORY          8192U /* bytes of a request's head, and of an answer's */
#define LIFE_MS         30000 /* of a connection, beside what it waits for the server */

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct HttpConnection {
    HttpConnection *previous, *next;
    struct MHD_Connection *mhd;
    int64_t end;
    bool has_asked; /* its request is whole */
    bool is_waiting;
    bool is_cut;
};

typedef struct Page {
    unsigned status;
    const char *type;
    const char *header, *value; /* a further one, or NULL */
    const char *text;
} Page;

static const Page page_table[N_HTTP_PAGES] = {
    [HTTP_INDEX] = {MHD_HTTP_OK, "text/html; charset=utf-8", NULL, NULL,
                    "<!DOCTYPE html><title>ivshmem-exporter</title>"
                    "<h1>ivshmem-exporter</h1><p><a href=\"/metrics\">Metrics</a></p>\n"},
    [HTTP_NOT_FOUND] = {MHD_HTTP_NOT_FOUND, "text/plain; charset=utf-8", NULL, NULL,
                        "There are /metrics here, and nothing else.\n"},
    [HTTP_WRONG_METHOD] = {MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain; charset=utf-8",
                           MHD_HTTP_HEADER_ALLOW, "GET, HEAD", "GET it.\n"},
};

/* The connection hears nothing more and is closed in one of the next turns. */
static void cut(Http *http, HttpConnection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);

    connection->is_cut = true;
    http->n_cut++;
    if (info)
        (void)shutdown(info->connect_fd, SHUT_RDWR);
}

/* Whoever waits for the metrics is left: that ends by itself. False if there was nobody else. */
static bool cut_one(Http *http)
{
    HttpConnection *found = NULL;

    for (HttpConnection *one = http->oldest; one && one != http->newest; one = one->next) {
        if (one->is_cut || one->is_waiting || (found && one->has_asked))
            continue;
        found = one;
        if (!one->has_asked)
            break;
    }
    if (found)
        cut(http, found);
    return found;
}

static void make_room(Http *http)
{
    while (http->n_connections - http->n_cut > MANY && cut_one(http))
        ;
}

static void append(Http *http, HttpConnection *connection)
{
    connection->previous = http->newest;
    *(http->newest ? &http->newest->next : &http->oldest) = connection;
    http->newest = connection;
    http->n_connections++;
}

static void take_out(Http *http, HttpConnection *connection)
{
    *(connection->previous ? &connection->previous->next : &http->oldest) = connection->next;
    *(connection->next ? &connection->next->previous : &http->newest) = connection->previous;
    http->n_connections--;
    http->n_waiting -= connection->is_waiting;
    http->n_cut -= connection->is_cut;
    http->has_closed = true;
}

/* A connection has come or ends. */
static void note(void *opaque, struct MHD_Connection *mhd, void **context,
                 enum MHD_ConnectionNotificationCode code)
{
    Http *http = opaque;
    HttpConnection *connection = *context;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (connection)
            take_out(http, connection);
        free(connection);
        *context = NULL;
        return;
    }
    *context = connection = calloc(1, sizeof(*connection));
    if (!connection)
        return;
    connection->mhd = mhd;
    connection->end = deadline_after(http->life_ms);
    append(http, connection);
    make_room(http);
}

static enum MHD_Result send_page(const Http *http, HttpConnection *connection, HttpPage page)
{
    connection->has_asked = true;
    return MHD_queue_response(connection->mhd, page_table[page].status, http->pages[page]);
}

/* Is called for the head of a request, then for each piece of its body, then at its end, and after
 * each wait. */
static enum MHD_Result handle(void *opaque, struct MHD_Connection *mhd, const char *url,
                              const char *method, const char *version, const char *body,
                              size_t *body_size, void **request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    HttpConnection *connection = info ? info->socket_context : NULL;
    Http *http = opaque;

    (void)version, (void)body;
    if (!connection)
        return MHD_NO;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return send_page(http, connection, HTTP_WRONG_METHOD);
    if (!*request || *body_size) {
        *request = connection;
        *body_size = 0;
        return MHD_YES;
    }
    if (strcmp(url, "/metrics") != 0)
        return send_page(http, connection, strcmp(url, "/") == 0 ? HTTP_INDEX : HTTP_NOT_FOUND);
    if (connection->has_asked)
        return http->metrics ? MHD_queue_response(mhd, MHD_HTTP_OK, http->metrics) : MHD_NO;
    connection->has_asked = connection->is_waiting = true;
    http->n_waiting++;
    MHD_suspend_connection(mhd);
    return MHD_YES;
}

/* A response of which the text is borrowed or, if `must_free`, taken over. NULL: out of memory */
static struct MHD_Response *make_response(const char *text, size_t size, bool must_free,
                                          const char *type)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        size, (void *)(uintptr_t)text, must_free ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);

    if (!response && must_free)
        free((void *)(uintptr_t)text);
    if (!response)
        return NULL;
    if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES &&
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES)
        return response;
    MHD_destroy_response(response);
    return NULL;
}

static int make_pages(Http *http)
{
    for (unsigned i = 0; i < N_HTTP_PAGES; i++) {
        const Page *page = &page_table[i];

        http->pages[i] = make_response(page->text, strlen(page->text), false, page->type);
        if (!http->pages[i] ||
            (page->header &&
             MHD_add_response_header(http->pages[i], page->header, page->value) != MHD_YES))
            return -ENOMEM;
    }
    return 0;
}

int http_open(Http *http, int listen_fd, int wait_ms, ErrorText *error)
{
    _cleanup_close_ int owned = listen_fd;

    *http = (Http){.life_ms = LIFE_MS + wait_ms};
    if (make_pages(http) < 0)
        return error_set(error, -ENOMEM, "cannot serve HTTP: %s", strerror(ENOMEM));
    errno = 0;
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle, http,
        MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY,
        MHD_OPTION_NOTIFY_CONNECTION, note, http, MHD_OPTION_END);
    if (!http->daemon)
        return error_set(error, -EIO, "cannot serve HTTP: %s",
                         errno ? strerror(errno) : "libmicrohttpd does not start");
    (void)fd_steal(&owned);
    return 0;
}

int http_fd(const Http *http)
{
    return MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

/* The oldest connection that is not cut, which is the next one whose time is up. */
static HttpConnection *find_next_end(const Http *http)
{
    HttpConnection *one = http->oldest;

    while (one && one->is_cut)
        one = one->next;
    return one;
}

int http_timeout(const Http *http)
{
    const HttpConnection *next = find_next_end(http);
    int own = next ? deadline_left(next->end) : -1;
    MHD_UNSIGNED_LONG_LONG timeout;

    if (http->has_closed)
        return 0;
    if (MHD_get_timeout(http->daemon, &timeout) != MHD_YES)
        return own;
    return own < 0 || timeout < (unsigned)own ? (int)timeout : own;
}

/* libmicrohttpd accepts again in the turn after the one that made room, and does not ask for it. */
static void turn(Http *http)
{
    http->has_closed = false;
    (void)MHD_run(http->daemon);
}

void http_run(Http *http)
{
    HttpConnection *next;

    while ((next = find_next_end(http)) && deadline_left(next->end) == 0)
        cut(http, next);
    turn(http);
}

void http_answer(Http *http, char *text, size_t size)
{
    if (http->metrics)
        MHD_destroy_response(http->metrics); /* those who are being sent it keep it */
    http->metrics = text ? make_response(text, size, true, METRICS_TYPE) : NULL;
    for (HttpConnection *one = http->oldest; one; one = one->next) {
        if (one->is_waiting)
            MHD_resume_connection(one->mhd);
        one->is_waiting = false;
    }
    http->n_waiting = 0;
    turn(http);
    make_room(http); /* of those who did not read what they were just sent */
}

void http_close(Http *http)
{
    if (http->daemon) {
        http_answer(http, NULL, 0);
        MHD_stop_daemon(http->daemon);
    }
    for (unsigned i = 0; i < N_HTTP_PAGES; i++)
        if (http->pages[i])
            MHD_destroy_response(http->pages[i]);
    *http = (Http){0};
}
