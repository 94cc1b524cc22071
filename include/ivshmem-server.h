/* SPDX-License-Identifier: MIT */
/*
 * Serve shared memory and doorbells to QEMU's ivshmem-doorbell devices and to host processes.
 *
 *     static IvshmemServer server;
 *     struct pollfd events = {.events = POLLIN};
 *     int r = ivshmem_server_init(&server, "/tmp/ivshmem_socket", "name", true, 4 << 20, 1, false);
 *
 *     if (r < 0 || (r = ivshmem_server_start(&server)) < 0)
 *         errx(1, "%s", ivshmem_server_error(&server));
 *     events.fd = ivshmem_server_get_fd(&server);
 *     while (r == 0 && poll(&events, 1, -1) > 0)
 *         r = ivshmem_server_dispatch(&server);
 *     ivshmem_server_close(&server);
 *
 * Functions return 0 or a negative errno unless they say otherwise. A server belongs to one thread
 * at a time; different servers are independent of each other. Nothing here exits, raises a signal
 * or prints, but for `verbose` and ivshmem_server_dump().
 */
#ifndef IVSHMEM_SERVER_H
#define IVSHMEM_SERVER_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/select.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef IVSHMEM_API
#ifdef __GNUC__
#define IVSHMEM_API __attribute__((visibility("default")))
#else
#define IVSHMEM_API
#endif
#endif

/** Vectors of a peer at most: PCI 3.0, 6.8.2, gives an MSI-X table 2048 entries. */
#define IVSHMEM_SERVER_MAX_VECTORS 2048

/** Bytes of the text that ivshmem_server_error() gives, with its final NUL. */
#define IVSHMEM_SERVER_ERROR_SIZE 512

typedef struct IvshmemServer IvshmemServer;
typedef struct IvshmemServerPeer IvshmemServerPeer;

/** Bytes of a listener's name, with its final NUL. */
#define IVSHMEM_SERVER_NAME_SIZE 64

/** A connected client. The server's: valid until the peer has left. */
struct IvshmemServerPeer {
    struct {
        IvshmemServerPeer *next;
        IvshmemServerPeer **previous_next;
    } next;                 /**< its place in the server's peer_list */
    int sock_fd;            /**< the connection to it; never read or write it */
    int64_t id;             /**< 0 to 65535; -1: an observer, whom no peer sees */
    const int *vectors;     /**< one eventfd per vector, vector 0 first */
    unsigned vectors_count; /**< 1 to IVSHMEM_SERVER_MAX_VECTORS */
    pid_t pid;              /**< who connected (SO_PEERCRED: as of then) */
    uid_t uid;
    gid_t gid;
    int64_t connected_at; /**< when, in nanoseconds since 1970 (CLOCK_REALTIME) */
    int listener;         /**< index of the listener that it came through */
    const char *name;     /**< that listener's name, "" if it has none */
};

typedef struct IvshmemServerPeerList {
    IvshmemServerPeer *first;
    IvshmemServerPeer **last_next;
} IvshmemServerPeerList;

#define IVSHMEM_LIST_FIRST(list)       ((list)->first)
#define IVSHMEM_LIST_NEXT(item, field) ((item)->field.next)
/** Walks a list, oldest first. The items must stay during the walk. */
#define IVSHMEM_LIST_FOREACH(item, list, field)                                                    \
    for ((item) = IVSHMEM_LIST_FIRST(list); (item); (item) = IVSHMEM_LIST_NEXT(item, field))
/** Walks a server's peers in the order in which they connected. */
#define IVSHMEM_SERVER_FOREACH_PEER(peer, server)                                                  \
    IVSHMEM_LIST_FOREACH(peer, &(server)->peer_list, next)

/** What the shared memory is made of. */
typedef enum IvshmemServerMemory {
    /** A POSIX object, shm_path its name: anybody who may open it can resize it, and a peer that
     *  touches what is gone dies of SIGBUS. An existing one of the same size is used. */
    IVSHMEM_SERVER_MEMORY_POSIX,
    /** An unlinked file in the directory shm_path, such as a hugetlbfs mount. Any client can
     *  resize it. */
    IVSHMEM_SERVER_MEMORY_DIRECTORY,
    /** A nameless object of mode 0600 that nobody can resize; shm_path is a label. */
    IVSHMEM_SERVER_MEMORY_MEMFD,
} IvshmemServerMemory;

/** Why a client was turned away. */
typedef enum IvshmemServerRefusal {
    IVSHMEM_SERVER_REFUSED_NO_FD,     /**< out of descriptors, in spite of the limit on clients */
    IVSHMEM_SERVER_REFUSED_NO_MEMORY, /**< the kernel is out of memory */
    IVSHMEM_SERVER_REFUSED_UID_LIMIT, /**< its user has max_clients_per_uid already */
    IVSHMEM_SERVER_REFUSED_NO_ID,     /**< every ID is in use */
    IVSHMEM_SERVER_REFUSED_POLICY,    /**< the admit callback said so */
    IVSHMEM_SERVER_REFUSED_READ_ONLY, /**< the memory cannot be opened again for reading only */
    IVSHMEM_SERVER_REFUSED_RESERVED,  /**< the listener's identity has a living client */
    IVSHMEM_SERVER_N_REFUSALS,
} IvshmemServerRefusal;

/** Who wants to connect: as of his connect(), from the kernel. */
typedef struct IvshmemServerCredentials {
    pid_t pid;
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /**< supplementary ones, valid during the call; none with
                              IVSHMEM_SERVER_REFUSED_UID_LIMIT, where nobody looked at them */
    size_t n_groups;
} IvshmemServerCredentials;

/** What a client may do. */
typedef enum IvshmemServerAdmission {
    IVSHMEM_SERVER_REFUSE,
    IVSHMEM_SERVER_ADMIT,
    /** It gets the memory's fd for reading only. QEMU's device cannot use that. The grant holds
     *  against clients of another user than the memory's that lack CAP_DAC_OVERRIDE: others can
     *  open the memory again through /proc. */
    IVSHMEM_SERVER_ADMIT_READ_ONLY,
} IvshmemServerAdmission;

/**
 * What a server can be told, with ivshmem_server_config_init() for the defaults. A callback may
 * look at the server, but not close it. Strings are copied.
 */
typedef struct IvshmemServerConfig {
    const char *unix_sock_path; /**< of the first listener, index 0; NULL: there is none */
    IvshmemServerMemory memory;
    const char *shm_path;
    uint64_t shm_size; /**< bytes; rounded up to a power of two (a PCI BAR), at least a page */
    bool no_reserve;   /**< do not reserve the memory's pages: one that is missing later kills
                            whoever touches it (SIGBUS) */
    uint64_t huge_page_size; /**< of a memfd, in bytes: 2 MiB, 1 GiB, ...; 0 (default): none */
    uid_t memory_uid;        /**< who is to own a memory that is made; (uid_t)-1 (default): we */
    gid_t memory_gid;        /**< the group that may write to a named memory that exists; one that
                                  others may write to is refused; (gid_t)-1 (default): none */
    int socket_mode;         /**< -1 (default): 0777 less the umask */
    uid_t socket_uid;        /**< (uid_t)-1 (default): we */
    gid_t socket_gid;        /**< (gid_t)-1 (default): ours */
    int socket_fd;           /**< a socket that listens at unix_sock_path already, as a service
                                  manager passes it: it is used, and stays the caller's as it is,
                                  with its owner, mode and path; -1 (default): one is made */
    unsigned n_vectors;      /**< per client, 1 to IVSHMEM_SERVER_MAX_VECTORS */
    bool verbose;            /**< lines on standard output, unless `log` is set */

    int state_fd;   /**< a memfd of the caller's, empty, in which the server keeps what it must
                         remember, so that another process can go on with
                         ivshmem_server_resume(); -1 (default): none. It stays the caller's. */
    unsigned n_ids; /**< IDs are below this, for guests with small tables of peers;
                         default and most: 65536 */
    unsigned max_clients;         /**< 0 (default): what RLIMIT_NOFILE allows */
    unsigned max_clients_per_uid; /**< 0 (default): as many as there may be in all */
    unsigned backlog;             /**< connections that may wait for accept; default 256 */
    unsigned setup_timeout_ms;    /**< a client that has not read its set-up by then is
                                       disconnected; 0 (default): it may take for ever */
    unsigned max_accepts_per_s;   /**< new clients per second; 0 (default): no limit */

    void *opaque; /**< handed to the callbacks */
    /** A line of the log, with a priority of syslog(3). */
    void (*log)(void *opaque, int priority, const char *line);
    void (*peer_connected)(void *opaque, IvshmemServer *server, const IvshmemServerPeer *peer);
    /** The peer is gone when this returns; its ID and credentials can still be read. */
    void (*peer_left)(void *opaque, IvshmemServer *server, const IvshmemServerPeer *peer);
    /** Whether a client may come in; it has cost nothing yet. NULL (default): everybody may whom
     *  the socket's mode lets connect. */
    IvshmemServerAdmission (*admit)(void *opaque, const IvshmemServer *server, int listener,
                                    const IvshmemServerCredentials *who);
    void (*client_refused)(void *opaque, IvshmemServer *server, int listener,
                           IvshmemServerRefusal reason, const IvshmemServerCredentials *who);
} IvshmemServerConfig;

/** A further way into a region, with ivshmem_server_listener_config_init() for the defaults. */
typedef struct IvshmemServerListenerConfig {
    const char *name; /**< shown wherever an ID is shown; copied and cut; NULL: none */
    const char *unix_sock_path;
    int socket_mode; /**< as in IvshmemServerConfig, and the next three */
    uid_t socket_uid;
    gid_t socket_gid;
    int socket_fd;
    unsigned backlog;
    unsigned n_vectors;         /**< of each client; 0 (default): the region's, which is the most */
    unsigned max_clients;       /**< at once, through this listener; 0 (default): no limit */
    unsigned max_accepts_per_s; /**< 0 (default): no limit */
    bool read_only;             /**< clients get the memory for reading only */
    bool observers;             /**< clients are told of everybody and announced to nobody: they use
                                     no ID up; all of them are told 65535 as their own */
    /** An identity for one client at a time; -1 (default): none. Its ID and eventfds are announced
     * to everybody from the start and stay while the listener is there, whether or not the client
     * is: it can come back as the same peer, and what was rung meanwhile waits in the eventfds. */
    int64_t reserved_id;
} IvshmemServerListenerConfig;

/** What there is to know of a listener. The strings are the server's, valid while it is there. */
typedef struct IvshmemServerListenerInfo {
    const char *name;
    const char *unix_sock_path;
    unsigned n_vectors;
    unsigned n_clients;
    unsigned max_clients; /**< 0: no limit of its own */
    uint64_t n_joins;     /**< clients that have come in through it, ever */
    uint64_t n_refusals;  /**< and that were turned away */
    bool read_only;
    bool observers;
    int64_t reserved_id; /**< -1: none */
} IvshmemServerListenerInfo;

/** Bounds of the histogram in IvshmemServerStats: bucket n counts latencies up to 10 us * 2^n, the
 *  last one all that were longer. */
#define IVSHMEM_SERVER_LATENCY_BUCKETS 16

/** Counters since the start. */
typedef struct IvshmemServerStats {
    uint64_t n_joins, n_departures; /**< of clients */
    uint64_t n_refusals[IVSHMEM_SERVER_N_REFUSALS];
    uint64_t n_messages;  /**< sent, of 8 bytes each */
    uint64_t n_retries;   /**< sends put off: a full socket, or the kernel lacked something */
    uint64_t latency_sum; /**< ns from accept to the third message sent, of all joins */
    uint64_t latency[IVSHMEM_SERVER_LATENCY_BUCKETS];
} IvshmemServerStats;

/** A server. The caller provides the storage and may read what is not private, but never write it.
 */
struct IvshmemServer {
    char unix_sock_path[PATH_MAX]; /**< where it listens */
    int sock_fd;                   /**< the listening socket, -1 while it is not started */
    char shm_path[PATH_MAX];       /**< see IvshmemServerMemory */
    bool use_shm_open;             /**< whether shm_path names a POSIX object */
    size_t shm_size;               /**< bytes; a power of two after init */
    int shm_fd;                    /**< the memory, -1 while the server is not started */
    unsigned n_vectors;            /**< eventfds per client */
    uint16_t cur_id; /**< what the next client's ID will be, if nobody leaves before */
    bool verbose;
    IvshmemServerPeerList peer_list; /**< who is connected, oldest first */

    /* private from here on */
    IvshmemServerConfig config_;
    struct ServerCore *core_; /* while it is started */
    char error_[IVSHMEM_SERVER_ERROR_SIZE];
};

/** Fills in the defaults: QEMU's socket, POSIX object "ivshmem", 4 MiB, one vector, no limits. */
IVSHMEM_API void ivshmem_server_config_init(IvshmemServerConfig *config);

/**
 * Prepares a server in storage that need not be initialised. Touches nothing outside of it.
 *
 * @param shm_path      a POSIX shared memory name if use_shm_open, else a directory
 * @param shm_size      bytes, rounded up as in IvshmemServerConfig
 * @return 0, -EINVAL (size 0, vectors 0, an empty path), -ERANGE (too many vectors, size above
 *         2^63), -ENAMETOOLONG (a path longer than a socket address or PATH_MAX can hold)
 */
IVSHMEM_API int ivshmem_server_init(IvshmemServer *server, const char *unix_sock_path,
                                    const char *shm_path, bool use_shm_open, size_t shm_size,
                                    unsigned n_vectors, bool verbose);

/** The same with everything that can be told. Same errors. */
IVSHMEM_API int ivshmem_server_init_config(IvshmemServer *server,
                                           const IvshmemServerConfig *config);

/**
 * Opens the memory, then binds and listens. After a failure nothing is left behind but the socket's
 * lock file (its path with ".lock" behind it), and the server may be started again.
 *
 * @return 0 or a negative errno, which ivshmem_server_error() explains; among them -EADDRINUSE
 *         (another server lives at the path), -ENOTSOCK (the path is something else, which is left
 *         alone), -EEXIST (the POSIX object has another size), -ENOMEM, -ENOSPC (no room for the
 * memory)
 */
IVSHMEM_API int ivshmem_server_start(IvshmemServer *server);

/**
 * Disconnects everyone, removes the socket, and the POSIX object if this server made it. Does
 * nothing to a server that is not started. May be followed by ivshmem_server_start().
 */
IVSHMEM_API void ivshmem_server_close(IvshmemServer *server);

/** The one fd to poll for reading, -1 while the server is not started. It stays the server's. */
IVSHMEM_API int ivshmem_server_get_fd(const IvshmemServer *server);

/**
 * Does what there is to do, within bounds (some hang-ups, some accepts, about a hundred messages):
 * call it whenever the fd is readable. Never waits.
 *
 * @return 0 or a negative errno: the server cannot go on
 */
IVSHMEM_API int ivshmem_server_dispatch(IvshmemServer *server);

/**
 * For programs built around select(): adds the server's one fd to a set that the caller prepared.
 * Any number of clients fits behind it. An fd that is FD_SETSIZE or above is not added, which
 * ivshmem_server_handle_fds() then reports.
 *
 * @param maxfd  one more than the highest fd in the set, as for select(); raised if necessary
 */
IVSHMEM_API void ivshmem_server_get_fds(const IvshmemServer *server, fd_set *fds, int *maxfd);

/**
 * Dispatches if the server's fd is in the set; ignores all others.
 *
 * @param maxfd  one more than the highest fd in the set, as for select()
 * @return as ivshmem_server_dispatch(); -EMFILE if the server's fd does not fit an fd_set
 */
IVSHMEM_API int ivshmem_server_handle_fds(IvshmemServer *server, fd_set *fds, int maxfd);

/** The peer with this ID, or NULL. */
IVSHMEM_API IvshmemServerPeer *ivshmem_server_search_peer(IvshmemServer *server, int64_t peer_id);

/** Prints the server and its peers to standard output. */
IVSHMEM_API void ivshmem_server_dump(const IvshmemServer *server);

/** One line on what went wrong last: what, which and why. Empty if nothing did. Never NULL. */
IVSHMEM_API const char *ivshmem_server_error(const IvshmemServer *server);

/** Fills in the defaults: mode less the umask, our owner, the region's vectors, no limits. */
IVSHMEM_API void ivshmem_server_listener_config_init(IvshmemServerListenerConfig *config);

/**
 * Opens a further listener of a started server.
 *
 * @return its index, or a negative errno as of ivshmem_server_start(); -EBUSY: the ID cannot be
 *         reserved, because it is in use or a connected client has seen it leave; -ENOSPC: there
 *         are as many listeners, or clients and reserved identities, as there can be
 */
IVSHMEM_API int ivshmem_server_listener_add(IvshmemServer *server,
                                            const IvshmemServerListenerConfig *config);

/**
 * Closes a listener. A reserved identity departs with it.
 *
 * @param force  disconnect its clients; without it, a listener that has some is left
 * @return 0, -ENOENT, or -EBUSY if it has clients
 */
IVSHMEM_API int ivshmem_server_listener_remove(IvshmemServer *server, int listener, bool force);

/** Indices of listeners are below this; not all need exist. */
IVSHMEM_API int ivshmem_server_n_listeners(const IvshmemServer *server);

/** @return 0 or -ENOENT */
IVSHMEM_API int ivshmem_server_listener_info(const IvshmemServer *server, int listener,
                                             IvshmemServerListenerInfo *info);

/** Ends a peer's connection. The peer is not valid afterwards. Not to be called in a callback. */
IVSHMEM_API void ivshmem_server_disconnect(IvshmemServer *server, IvshmemServerPeer *peer);

/** How many IDs the peer has still to hear of: arrivals and departures. */
IVSHMEM_API unsigned ivshmem_server_pending(const IvshmemServer *server,
                                            const IvshmemServerPeer *peer);

/** The counters of a started server; all 0 while it is not started. */
IVSHMEM_API void ivshmem_server_stats(const IvshmemServer *server, IvshmemServerStats *stats);

/**
 * Goes on where another process stopped, at whatever instruction: instead of
 * ivshmem_server_start(), with the same configuration, and the state that process kept in state_fd.
 * No client notices.
 *
 * The descriptors that the state names must be this process's, under the same numbers. They are if
 * the two shared their table (clone() with CLONE_FILES); ivshmem_server_import() is for others.
 *
 * After a crash the caller then looks through its open descriptors: what is neither its own nor
 * named by ivshmem_server_each_fd() or ivshmem_server_each_own_fd() is what the dead process had of
 * its own or was about to use. It hands each of those to ivshmem_server_adopt(), closes it if that
 * fails, and dispatches.
 *
 * @return 0; -ENODATA without a state_fd, or if there is nothing in it; -EPROTO: not a state, or of
 *         another version; -EBADMSG: damaged; or another negative errno. No descriptor is closed.
 */
IVSHMEM_API int ivshmem_server_resume(IvshmemServer *server);

/** A state that is mapped before it is needed. */
typedef struct IvshmemServerMap IvshmemServerMap;

/**
 * Maps a state in which another process works, and all of its memory that is in use: for a process
 * that stands by to go on from it, and finds every page at hand then. Nothing is changed. It lets
 * others have the processor now and then.
 *
 * @param stop  asked in between, whether that is enough; NULL: it never is
 * @return the caller's; NULL: it is no state, or damaged, or there is no memory
 */
IVSHMEM_API IvshmemServerMap *ivshmem_server_map(int state_fd, bool (*stop)(void));

/** Maps what has come into use since. */
IVSHMEM_API void ivshmem_server_map_again(IvshmemServerMap *map, bool (*stop)(void));

/** Whether it is of the state in this memfd. */
IVSHMEM_API bool ivshmem_server_map_is_of(const IvshmemServerMap *map, int state_fd);

/** Takes NULL. */
IVSHMEM_API void ivshmem_server_unmap(IvshmemServerMap *map);

/** As ivshmem_server_resume(), on a state that may be mapped already. @param map  of the state_fd,
 * taken over; NULL: it is not */
IVSHMEM_API int ivshmem_server_resume_mapped(IvshmemServer *server, IvshmemServerMap *map);

/** How many bytes of its state a started server uses, about: when it has grown by much, a map of
 * it lacks as much. */
IVSHMEM_API uint64_t ivshmem_server_state_used(const IvshmemServer *server);

/**
 * Lets go of a started server with a state_fd, for another process to go on: frees what this one
 * has, disconnects nobody, removes nothing, and leaves open what the state names.
 */
IVSHMEM_API void ivshmem_server_abandon(IvshmemServer *server);

/**
 * Copies a state that came from another process with its descriptors, which have other numbers
 * here. The first stays as it is: that process can still go on.
 *
 * @param to        an empty memfd, for state_fd
 * @param from      a memfd with a state in which no process works
 * @param renumber  gives the number here of a descriptor that had the number `fd` there; -1 if
 *                  it has not come: the import fails then. `passed`: it is one that
 *                  ivshmem_server_pass() has named
 * @param why       filled in with a line on what is wrong, if anything is
 * @return 0, -EBADF, or a negative errno as of ivshmem_server_resume()
 */
IVSHMEM_API int ivshmem_server_import(int to, int from,
                                      int (*renumber)(void *opaque, int fd, bool passed),
                                      void *opaque, char why[IVSHMEM_SERVER_ERROR_SIZE]);

/** An import that was begun. */
typedef struct IvshmemServerImport IvshmemServerImport;

/**
 * Begins such an import while the other process still works in the state: copies what is there, so
 * that the end is shorter.
 *
 * @param to, from  borrowed until the end
 * @return the caller's; NULL: it is no state, or there is no memory
 */
IVSHMEM_API IvshmemServerImport *ivshmem_server_import_begin(int to, int from);

/** Whether it is an import from this memfd. */
IVSHMEM_API bool ivshmem_server_import_is_of(const IvshmemServerImport *import, int from);

/** The rest, once, when no process works in the state any more: as ivshmem_server_import(). */
IVSHMEM_API int ivshmem_server_import_end(IvshmemServerImport *import,
                                          int (*renumber)(void *opaque, int fd, bool passed),
                                          void *opaque, char why[IVSHMEM_SERVER_ERROR_SIZE]);

/** Frees what it has mapped, which can wait for a better moment than the end. Takes NULL. */
IVSHMEM_API void ivshmem_server_import_free(IvshmemServerImport *import);

/** Names each descriptor that others can go on with: those that the state names (the memory,
 * sockets, locks and eventfds), and connections that are no clients yet, for
 * ivshmem_server_adopt(). */
IVSHMEM_API void ivshmem_server_each_fd(const IvshmemServer *server,
                                        void (*named)(void *opaque, int fd), void *opaque);

/** From here on, ivshmem_server_pass() has named none. */
IVSHMEM_API void ivshmem_server_pass_begin(IvshmemServer *server);

/**
 * Names descriptors to be passed to another process while the server goes on: those of clients that
 * were not named so before. When the server has stopped, that process needs those of
 * ivshmem_server_each_fd_left() beside them, and finds in the state which clients' it has.
 *
 * @param most  so many in all, of whole clients
 * @return how many it has named
 */
IVSHMEM_API uint32_t ivshmem_server_pass(IvshmemServer *server, uint32_t most,
                                         void (*named)(void *opaque, int fd), void *opaque);

/** As ivshmem_server_each_fd(), but for those of clients that ivshmem_server_pass() has named. */
IVSHMEM_API void ivshmem_server_each_fd_left(const IvshmemServer *server,
                                             void (*named)(void *opaque, int fd), void *opaque);

/** Names each descriptor that a started server has beside them, and that is of no use to others. */
IVSHMEM_API void ivshmem_server_each_own_fd(const IvshmemServer *server,
                                            void (*named)(void *opaque, int fd), void *opaque);

/**
 * Takes a connection that was accepted from one of the server's listeners and is no client yet.
 *
 * @param sock  taken over if there is no error
 * @return 0, or -ENOENT: it is not such a connection
 */
IVSHMEM_API int ivshmem_server_adopt(IvshmemServer *server, int sock);

/** How many clients there may be at once: the configured number or what RLIMIT_NOFILE allowed at
 *  start; 0 while the server is not started. */
IVSHMEM_API unsigned ivshmem_server_max_clients(const IvshmemServer *server);

/** How many IDs a client that connects now could get without any peer having to be kept from
 *  hearing of it (see "IDs" in ivshmem-server(1)); 0 while the server is not started. */
IVSHMEM_API unsigned ivshmem_server_ids_left(const IvshmemServer *server);

/** How many IDs are in use, or known to a connected client as having been; 0 while the server is
 * not started. */
IVSHMEM_API unsigned ivshmem_server_ids_used(const IvshmemServer *server);

#ifdef __cplusplus
}
#endif

#endif
