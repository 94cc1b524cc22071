/* SPDX-License-Identifier: MIT */
/*
 * HTTP, by libmicrohttpd, on the loop of its caller: nothing here waits, and there is no thread.
 *
 * Whoever asks for the metrics waits until the caller has them, and all who wait get the same. A
 * connection is for one request and has an end that no trickle of bytes puts off. Newcomers always
 * find room: when there are many connections the oldest that has not said what it wants is cut, so
 * that a crowd of silent ones keeps nobody out.
 */
#pragma once

#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Daemon;
struct MHD_Response;
typedef struct HttpConnection HttpConnection;

/** The answers that are always the same. */
typedef enum HttpPage {
    HTTP_INDEX,
    HTTP_NOT_FOUND,
    HTTP_WRONG_METHOD,
    N_HTTP_PAGES,
} HttpPage;

typedef struct Http {
    struct MHD_Daemon *daemon;
    struct MHD_Response *metrics; /* the latest */
    struct MHD_Response *pages[N_HTTP_PAGES];
    HttpConnection *oldest, *newest;
    unsigned n_connections, n_waiting, n_cut;
    bool has_closed; /* a connection, in the last turn */
    int life_ms;     /* of a connection */
} Http;

/**
 * Serves what comes in through a listening socket.
 *
 * @param listen_fd  taken over, also if it fails
 * @param wait_ms    how long those who wait for the metrics may have to
 * @return 0 or a negative errno with the reason; http_close() is right in either case
 */
int http_open(Http *http, int listen_fd, int wait_ms, ErrorText *error);

/** What is to be polled for reading. */
int http_fd(const Http *http);

/** Milliseconds until http_run() has something to do without being readable, as poll(2) takes them.
 */
int http_timeout(const Http *http);

/** Does what there is to do. */
void http_run(Http *http);

/** Answers all who wait. @param text  taken over; NULL: there is none, they are cut off */
void http_answer(Http *http, char *text, size_t size);

void http_close(Http *http);
