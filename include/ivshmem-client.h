/* SPDX-License-Identifier: MIT */
/*
 * Be a peer of an ivshmem region: connect to its server's socket, share the memory, ring the
 * other peers' doorbells and hear one's own.
 *
 *     IvshmemClient client;
 *
 *     ivshmem_client_init(&client, "/tmp/ivshmem_socket", on_ring, NULL, false);
 *     ivshmem_client_connect_timeout(&client, 5000);
 *     ivshmem_client_wait_ready(&client, 5000);
 *     ivshmem_client_map(&client, true, 0, &memory, &size);
 *     ivshmem_client_notify(&client, ivshmem_client_search_peer(&client, 1), 0);
 *     poll ivshmem_client_get_fd(&client) for POLLIN, then ivshmem_client_dispatch(&client);
 *     ivshmem_client_close(&client);
 *
 * Names and meanings are those of QEMU's ivshmem-client; what that does not have is marked "beyond
 * QEMU's". Every function that returns int gives 0 or a negative errno unless it says otherwise,
 * and for those that can fail for the server's or the system's sake ivshmem_client_error() says the
 * same in words. The library never prints (but for `verbose`
 * and ivshmem_client_dump()), never exits and changes no signal's handling.
 *
 * One client belongs to one thread at a time, with one exception: any thread may call
 * ivshmem_client_notify() on a peer that stays, while no other thread dispatches or closes.
 *
 * A server that goes away takes nothing with it: ivshmem_client_dispatch() says -ECONNRESET once,
 * sock_fd is -1 from then on, and memory, peers and doorbells go on working until the close.
 */
#ifndef IVSHMEM_CLIENT_H
#define IVSHMEM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/select.h>

#ifndef IVSHMEM_API
#if defined(__GNUC__)
#define IVSHMEM_API __attribute__((visibility("default")))
#else
#define IVSHMEM_API
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define IVSHMEM_CLIENT_MAX_VECTORS 2048 /* of one peer: the most that MSI-X knows */
#define IVSHMEM_CLIENT_PATH_SIZE   108  /* bytes of a socket's path, with its final NUL */
#define IVSHMEM_CLIENT_ERROR_SIZE  192  /* bytes of error_text, with its final NUL */
#define IVSHMEM_CLIENT_QUIET_MS    100  /* see ivshmem_client_wait_ready() */
#define IVSHMEM_CLIENT_STALLED_MS  1000 /* the same */

typedef struct IvshmemClient IvshmemClient;
typedef struct IvshmemClientPeer IvshmemClientPeer;

/** A peer: one of the others, or ourselves (the client's `local`). To be read only. */
struct IvshmemClientPeer {
    IvshmemClientPeer *next;     /**< in the order of arrival; see IVSHMEM_CLIENT_FOREACH_PEER */
    IvshmemClientPeer *previous; /**< the library's own */
    int64_t id;                  /**< 0 to 65535; -1 while our own is not known */
    int *vectors;                /**< one eventfd for each vector; they belong to the library */
    unsigned vectors_count;      /**< how many have come so far */
};

typedef struct IvshmemClientPeerList {
    IvshmemClientPeer *first;
    IvshmemClientPeer *last;
    unsigned count;
} IvshmemClientPeerList;

/** Why a connection failed, as far as the server or the kernel is to blame. Beyond QEMU's. */
typedef enum IvshmemClientFault {
    IVSHMEM_CLIENT_FAULT_NONE,
    IVSHMEM_CLIENT_FAULT_VERSION,           /**< the first message is not version 0 */
    IVSHMEM_CLIENT_FAULT_OWN_ID,            /**< the ID given to us is not 0 to 65535 */
    IVSHMEM_CLIENT_FAULT_NOT_MEMORY,        /**< the third message is not the memory's */
    IVSHMEM_CLIENT_FAULT_MEMORY_WITHOUT_FD, /**< the memory's message has no descriptor */
    IVSHMEM_CLIENT_FAULT_MEMORY_AGAIN,      /**< the memory's message came a second time */
    IVSHMEM_CLIENT_FAULT_UNEXPECTED_FD,     /**< a descriptor with the version or our ID */
    IVSHMEM_CLIENT_FAULT_ID_RANGE,          /**< a peer's ID is not 0 to 65535 */
    IVSHMEM_CLIENT_FAULT_VECTORS,           /**< more than IVSHMEM_CLIENT_MAX_VECTORS of one peer */
    IVSHMEM_CLIENT_FAULT_OWN_DEPARTURE,     /**< we are said to have left */
    IVSHMEM_CLIENT_FAULT_UNKNOWN_DEPARTURE, /**< a peer left that was never announced */
    IVSHMEM_CLIENT_FAULT_MANY_FDS,          /**< more than one descriptor with a message */
    IVSHMEM_CLIENT_FAULT_CUT_SHORT,         /**< the connection ended inside a message */
    IVSHMEM_CLIENT_FAULT_CLOSED,            /**< the server has closed the connection */
    IVSHMEM_CLIENT_FAULT_NO_FD_LEFT,        /**< RLIMIT_NOFILE or the system's table is full */
    IVSHMEM_CLIENT_FAULT_SYSTEM,            /**< a system call failed */
    IVSHMEM_CLIENT_N_FAULTS
} IvshmemClientFault;

/**
 * One of our own vectors was rung, once or more often.
 *
 * Callbacks run inside ivshmem_client_dispatch(), ivshmem_client_handle_fds() and
 * ivshmem_client_wait_ready(). They may ring doorbells, look peers up and call
 * ivshmem_client_close(), which then takes effect when they have returned; nothing else that
 * changes the client.
 *
 * @param peer  ourselves (&client->local): a doorbell does not say who rang it
 */
typedef void (*IvshmemClientNotifCb)(const IvshmemClient *client, const IvshmemClientPeer *peer,
                                     unsigned vect, void *arg);

/** A peer has connected or left. When it has left, it is valid until the callback returns. */
typedef void (*IvshmemClientPeerCb)(const IvshmemClient *client, const IvshmemClientPeer *peer,
                                    void *arg);

/** One line for the log, without a newline; the priority is syslog(3)'s. */
typedef void (*IvshmemClientLogCb)(void *arg, int priority, const char *line);

/**
 * A client. The caller provides the memory, which must stay where it is from the connect to the
 * close; all fields are to be read only.
 */
struct IvshmemClient {
    char unix_sock_path[IVSHMEM_CLIENT_PATH_SIZE]; /**< the server's socket */
    int sock_fd;                                   /**< the connection, -1 if there is none */
    int shm_fd;                                    /**< the shared memory, -1 if there is none */
    IvshmemClientPeerList peer_list;               /**< the other peers */
    IvshmemClientPeer local;                       /**< ourselves */
    IvshmemClientNotifCb notif_cb;                 /**< see ivshmem_client_init() */
    void *notif_arg;
    bool verbose;

    /* Beyond QEMU's. */
    IvshmemClientFault fault;                   /**< of the last call that failed */
    char error_text[IVSHMEM_CLIENT_ERROR_SIZE]; /**< see ivshmem_client_error() */
    bool wary;                                  /**< see ivshmem_client_set_wary() */
    unsigned vectors_expected;                  /**< see ivshmem_client_set_vectors() */
    IvshmemClientPeerCb connected_cb;           /**< see ivshmem_client_set_peer_callbacks() */
    IvshmemClientPeerCb left_cb;
    void *peer_arg;
    IvshmemClientLogCb log_cb; /**< see ivshmem_client_set_log() */
    void *log_arg;
    struct IvshmemClientPrivate *priv; /**< the library's own */
    void *reserved[8];                 /**< for later versions */
};

/** Walks the other peers in the order of arrival; `peer` is an IvshmemClientPeer * of yours. */
#define IVSHMEM_CLIENT_FOREACH_PEER(peer, client)                                                  \
    for ((peer) = (client)->peer_list.first; (peer) != NULL; (peer) = (peer)->next)

/**
 * Prepares a client. Nothing is opened or allocated yet.
 *
 * @param unix_sock_path  copied
 * @param notif_cb        called when one of our vectors is rung. NULL: vectors are left alone by
 *                        dispatch, for ivshmem_client_wait() and for the caller's own reads
 * @param notif_arg       handed to notif_cb
 * @param verbose         say on standard output what happens, unless there is a log callback
 * @return 0, -EINVAL for an empty path, -ENAMETOOLONG for one of more than 107 bytes
 */
IVSHMEM_API int ivshmem_client_init(IvshmemClient *client, const char *unix_sock_path,
                                    IvshmemClientNotifCb notif_cb, void *notif_arg, bool verbose);

/**
 * How many vectors we expect to be given, 1 to IVSHMEM_CLIENT_MAX_VECTORS, or 0 if that is not
 * known. It ends the set-up at once when they have come (see ivshmem_client_wait_ready()); it is
 * no limit. To be called before the connect. Beyond QEMU's.
 */
IVSHMEM_API void ivshmem_client_set_vectors(IvshmemClient *client, unsigned vectors);

/**
 * Lets no peer make a ring wait: before each write the eventfd's O_NONBLOCK is looked at, and set
 * again if somebody has cleared it. He could only clear it in the very moment between. Off at
 * first: a ring costs about 1.7 times as much with it (bench/).
 */
IVSHMEM_API void ivshmem_client_set_wary(IvshmemClient *client, bool wary);

/**
 * Whom to tell of the other peers. Beyond QEMU's.
 *
 * `connected` is called once for each peer, those included that were there before us, when its
 * vectors are all there by the same rule as for our own (see ivshmem_client_wait_ready()). A peer
 * is in the list from its first vector on, and a vector that comes after the call is added without
 * another one. `left` is called for those peers only for which `connected` was, or would have been.
 * Neither is called by ivshmem_client_close().
 *
 * @param connected  may be NULL
 * @param left       may be NULL
 */
IVSHMEM_API void ivshmem_client_set_peer_callbacks(IvshmemClient *client,
                                                   IvshmemClientPeerCb connected,
                                                   IvshmemClientPeerCb left, void *arg);

/** Sends the lines that `verbose` would print, and errors, to a callback. Beyond QEMU's. */
IVSHMEM_API void ivshmem_client_set_log(IvshmemClient *client, IvshmemClientLogCb log, void *arg);

/**
 * Connects to the server and waits, without a limit, for our ID and the memory. The other peers
 * and our own vectors come by and by: dispatch, or wait with ivshmem_client_wait_ready().
 *
 * When it fails, the client is as after a close and may connect again.
 *
 * @return 0; -ENOENT, -ECONNREFUSED, -EACCES ... as connect(2); -ECONNRESET if the server closed
 *         the connection; -EPROTO if it broke the protocol (`fault` says how); -EMFILE or
 *         -ENFILE without a descriptor to spare; -EISCONN if the client is connected; -ENOMEM
 */
IVSHMEM_API int ivshmem_client_connect(IvshmemClient *client);

/**
 * The same with a limit on the whole of it. Beyond QEMU's.
 *
 * @param timeout_ms  milliseconds; negative for no limit
 * @return as ivshmem_client_connect(), and -ETIMEDOUT
 */
IVSHMEM_API int ivshmem_client_connect_timeout(IvshmemClient *client, int timeout_ms);

/**
 * The same over a stream socket that somebody else has connected to the server, for a process
 * that may not do so itself. Beyond QEMU's.
 *
 * @param sock_fd     belongs to the client from now on, also when this fails
 * @param timeout_ms  milliseconds; negative for no limit
 * @return as ivshmem_client_connect_timeout(), without the errors of connect(2)
 */
IVSHMEM_API int ivshmem_client_connect_fd(IvshmemClient *client, int sock_fd, int timeout_ms);

/**
 * Whether the set-up is over: see ivshmem_client_wait_ready(). It stays true until the close, and
 * changes only while dispatching. Beyond QEMU's.
 */
IVSHMEM_API bool ivshmem_client_is_ready(const IvshmemClient *client);

/**
 * Dispatches until the set-up is over: all peers that were there before us are known with all
 * their vectors, and so are our own. Beyond QEMU's.
 *
 * A server sends our own vectors last, and nothing marks their end. They are complete when
 * - there are as many as ivshmem_client_set_vectors() said, or IVSHMEM_CLIENT_MAX_VECTORS; or
 * - a message about another peer follows them; or
 * - nothing more is there to be read and we have at least as many as every other peer; or
 * - there is no other peer to compare with, and for IVSHMEM_CLIENT_QUIET_MS nothing has come; or
 * - for IVSHMEM_CLIENT_STALLED_MS nothing has come. So it is with a server that gives us none.
 *
 * The first two are certain. The others can be wrong for a server that hands out vectors in
 * fits and starts; a vector that comes later is added to client->local all the same.
 *
 * @param timeout_ms  milliseconds; negative for no limit
 * @return 0; -ETIMEDOUT; -EINTR after a signal that was caught; -ENOTCONN without a server; what
 *         ivshmem_client_dispatch() returns
 */
IVSHMEM_API int ivshmem_client_wait_ready(IvshmemClient *client, int timeout_ms);

/**
 * Ends the connection and frees everything, peers and their eventfds included. The client can
 * connect again. One that is not connected is left as it is. Inside a callback it takes effect when
 * the callback has returned, and the dispatch that called it gives -ECANCELED.
 */
IVSHMEM_API void ivshmem_client_close(IvshmemClient *client);

/**
 * The one descriptor to wait on, in any event loop: readable when there is something to dispatch.
 * It is the same from the connect to the close and belongs to the library. Beyond QEMU's.
 *
 * @return the descriptor, or -ENOTCONN
 */
IVSHMEM_API int ivshmem_client_get_fd(const IvshmemClient *client);

/**
 * Does what there is to do, without waiting: messages from the server first, then rung vectors.
 * It does a bounded amount of work, and get_fd stays readable if there is more. Beyond QEMU's.
 *
 * @return 0; -ECONNRESET, once, when the server has gone; -EPROTO, once, when it broke the
 *         protocol, which ends the connection to it; -EMFILE or -ENFILE, once, when a descriptor
 *         could not be received, the same; -ENOMEM and other errors of the system, the same;
 *         -ECANCELED if a callback closed the client; -ENOTCONN if it is not connected;
 *         -EBUSY inside a callback
 */
IVSHMEM_API int ivshmem_client_dispatch(IvshmemClient *client);

/**
 * Adds the client's descriptors to a set for select(2). There is just one, that of
 * ivshmem_client_get_fd(). If it does not fit (it is not below FD_SETSIZE), or the client is not
 * connected, nothing is changed.
 *
 * @param maxfd  the highest descriptor in the set plus one; raised if necessary
 */
IVSHMEM_API void ivshmem_client_get_fds(const IvshmemClient *client, fd_set *fds, int *maxfd);

/**
 * Dispatches if the set, filled by select(2), has the client's descriptor in it.
 *
 * @param maxfd  the highest descriptor in the set plus one
 * @return as ivshmem_client_dispatch(), 0 if it is not in the set, and -EMFILE if it cannot be:
 *         use ivshmem_client_get_fd() and poll(2) then
 */
IVSHMEM_API int ivshmem_client_handle_fds(IvshmemClient *client, fd_set *fds, int maxfd);

/**
 * Rings one vector of a peer. A vector that is rung more often than its owner looks counts as
 * rung: this does not wait. (Unless a peer that means harm has cleared O_NONBLOCK, which all who
 * hold the eventfd share, and filled the counter: see ivshmem_client_set_wary().) It costs what
 * write(2) costs.
 *
 * @param peer  from ivshmem_client_search_peer(), which may be NULL
 * @return 0; -ENOENT without a peer; -ERANGE if it has no such vector; an errno of write(2)
 */
IVSHMEM_API int ivshmem_client_notify(const IvshmemClient *client, const IvshmemClientPeer *peer,
                                      unsigned vector);

/** Rings all vectors of a peer. All of them are tried; the first error is returned. */
IVSHMEM_API int ivshmem_client_notify_all_vects(const IvshmemClient *client,
                                                const IvshmemClientPeer *peer);

/** Rings all vectors of all other peers. All of them are tried; the first error is returned. */
IVSHMEM_API int ivshmem_client_notify_broadcast(const IvshmemClient *client);

/**
 * Waits until one of our vectors is rung, or finds that it has been since it was last read. Only
 * for clients without a notification callback, whose vectors dispatch does not read. It does not
 * dispatch. Beyond QEMU's.
 *
 * @param timeout_ms  milliseconds; negative for no limit, 0 to look only
 * @return 0; -ETIMEDOUT; -ERANGE if we have no such vector; -EINTR after a signal that was caught;
 *         -EIO and errnos of read(2) if the server gave us something else than an eventfd
 */
IVSHMEM_API int ivshmem_client_wait(IvshmemClient *client, unsigned vector, int timeout_ms);

/**
 * The peer with an ID, ourselves included, or NULL. It is valid until it has left. Takes the same
 * time however many there are.
 */
IVSHMEM_API IvshmemClientPeer *ivshmem_client_search_peer(IvshmemClient *client, int64_t peer_id);

/**
 * Maps the memory, shared. The mapping is the caller's, to be ended with munmap(2), and outlives
 * the client. Beyond QEMU's.
 *
 * @param writable  false for a mapping to be read only, all that a read-only grant allows
 * @param min_size  bytes that the memory must have at least; 0: no matter
 * @param memory    where it is
 * @param size      its size in bytes: all of it is mapped
 * @return 0; -ENOTCONN; -ERANGE if it is smaller than min_size; -ENODATA if it is empty; -EFBIG if
 *         it does not fit the address space; -EACCES if it may only be read; errnos of mmap(2)
 */
IVSHMEM_API int ivshmem_client_map(IvshmemClient *client, bool writable, size_t min_size,
                                   void **memory, size_t *size);

/**
 * What went wrong in the last connect, dispatch or map that failed, in words. -EISCONN, -ENOTCONN
 * and -EBUSY, which are the caller's own doing, change nothing here.
 *
 * @return a text without a newline, empty if nothing did; valid until the next call on the client
 */
IVSHMEM_API const char *ivshmem_client_error(const IvshmemClient *client);

/** Prints our ID and vectors and those of the other peers on standard output. */
IVSHMEM_API void ivshmem_client_dump(const IvshmemClient *client);

#ifdef __cplusplus
}
#endif

#endif
