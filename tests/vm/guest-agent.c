/* SPDX-License-Identifier: MIT */
/*
 * What runs in a test's virtual machine, as its only process: it does through the device library
 * what the host asks for, one line at a time, over the second serial port.
 *
 *     command argument...   ->   ok value...   or   err ERRNO what
 *
 * Everything else (the kernel's messages, the library's log) goes to the first serial port. The
 * agent says "ready" once, when it takes commands. It never gives up on a bad command, and powers
 * the machine off when told to or when its input ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "guest-program.h"
#include "ivshmem-device.h"
#include "util/cleanup.h"

#define PORT      "/dev/ttyS1"
#define MODULES   "/modules" /* a folder of files "1", "2", ... in the order of loading */
#define LINE_SIZE 16384
#define MAX_WORDS 24
#define MAX_LIST  16
#define BYTES_MAX 4096 /* of one read or write */
#define FILE_MAX  65536

/* Where a ping and its pong stand, in cache lines of their own. */
#define PING_AT 0x1000
#define PONG_AT 0x1040

static IvshmemDevice *device;
static FILE *input; /* both are the serial port */
static FILE *port;

static void print_log(void *opaque, int priority, const char *line)
{
    (void)opaque;
    (void)fprintf(stderr, "device <%d> %s\n", priority, line);
}

static const IvshmemDeviceOptions options = {.log = print_log};

static int answer(int error)
{
    if (error < 0)
        (void)fprintf(port, "err %d %s\n", -error, strerror(-error));
    else
        (void)fprintf(port, "ok\n");
    return 0;
}

static int answer_number(long number)
{
    if (number < 0)
        return answer((int)number);
    (void)fprintf(port, "ok %ld\n", number);
    return 0;
}

static unsigned number(const char *word)
{
    return word ? (unsigned)strtoul(word, NULL, 0) : 0;
}

static double now_us(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

/* load [FOLDER] */
static int do_load(char **words)
{
    for (unsigned i = 1;; i++) {
        char path[64];
        _cleanup_close_ int fd = -1;

        (void)snprintf(path, sizeof(path), "%s/%u", words[1] ? words[1] : MODULES, i);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return answer(errno == ENOENT ? 0 : -errno);
        if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
            return answer(-errno);
    }
}

/* list: each device as address,revision,size,group,driver */
static int do_list(char **words)
{
    IvshmemDeviceInfo infos[MAX_LIST];
    int n = ivshmem_device_list(&options, infos, MAX_LIST);

    (void)words;
    if (n < 0)
        return answer(n);
    (void)fprintf(port, "ok");
    for (int i = 0; i < n && i < MAX_LIST; i++)
        (void)fprintf(port, " %s,%u,%llu,%d,%s", infos[i].address, infos[i].revision,
                      (unsigned long long)infos[i].memory_size, infos[i].iommu_group,
                      infos[i].driver);
    (void)fprintf(port, "\n");
    return 0;
}

/* Whether the kernel has made all of a device: the files of its BARs come after the device itself,
 * and no event tells of them. */
static bool has_bars(void)
{
    IvshmemDeviceInfo info;
    char path[128];

    if (ivshmem_device_list(&options, &info, 1) < 1)
        return false;
    (void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource2", info.address);
    return access(path, F_OK) == 0;
}

/* appear MILLISECONDS: waits until the kernel has found a device, told by its events */
static int do_appear(char **words)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = 1};
    _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    struct pollfd events = {.fd = fd, .events = POLLIN};
    double end = now_us() + 1e3 * number(words[1]);

    if (fd < 0 || bind(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return answer(-errno);
    while (ivshmem_device_list(&options, NULL, 0) == 0) {
        char event[4096];
        double left = (end - now_us()) / 1e3;

        if (left <= 0 || poll(&events, 1, (int)left + 1) < 0)
            return answer(-ETIMEDOUT);
        (void)recv(fd, event, sizeof(event), MSG_DONTWAIT);
    }
    while (!has_bars()) {
        if (now_us() > end)
            return answer(-ETIMEDOUT);
        (void)poll(NULL, 0, 1);
    }
    return answer(0);
}

static int do_bind(char **words)
{
    return answer(ivshmem_device_bind(words[1], &options));
}

static int do_unbind(char **words)
{
    return answer(ivshmem_device_unbind(words[1], &options));
}

/* open [WHICH]: ID, vectors, bytes of memory, interrupts, revision */
static int do_open(char **words)
{
    IvshmemDevice *opened = NULL;
    int result = ivshmem_device_open(&opened, words[1], &options);

    if (result < 0)
        return answer(result);
    ivshmem_device_close(device);
    device = opened;
    (void)fprintf(port, "ok %d %u %zu %d %u\n", ivshmem_device_id(device),
                  ivshmem_device_n_vectors(device), ivshmem_device_memory_size(device),
                  ivshmem_device_has_interrupts(device), ivshmem_device_revision(device));
    return 0;
}

static int do_close(char **words)
{
    (void)words;
    ivshmem_device_close(ptr_steal(device));
    return answer(0);
}

static int do_id(char **words)
{
    (void)words;
    return answer_number(ivshmem_device_id(device));
}

/* ring PEER VECTOR */
static int do_ring(char **words)
{
    return answer(ivshmem_device_ring(device, number(words[1]), number(words[2])));
}

/* wait VECTOR MILLISECONDS: 1 or 0 */
static int do_wait(char **words)
{
    return answer_number(ivshmem_device_wait(device, number(words[1]), (int)number(words[2])));
}

static uint8_t *memory_at(const char *offset, size_t length)
{
    size_t at = offset ? strtoull(offset, NULL, 0) : 0;
    size_t size = ivshmem_device_memory_size(device);

    if (length > BYTES_MAX || at > size || length > size - at)
        return NULL;
    return (uint8_t *)ivshmem_device_memory(device) + at;
}

static int answer_bytes(const uint8_t *bytes, size_t length)
{
    (void)fprintf(port, "ok ");
    for (size_t i = 0; i < length; i++)
        (void)fprintf(port, "%02x", bytes[i]);
    (void)fprintf(port, "\n");
    return 0;
}

/* read OFFSET LENGTH: hexadecimal digits */
static int do_read(char **words)
{
    size_t length = number(words[2]);
    const uint8_t *from = memory_at(words[1], length);

    return from ? answer_bytes(from, length) : answer(-ERANGE);
}

/* @return 0 or a negative errno */
static int read_digits(const char *digits, uint8_t *to, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (sscanf(digits + 2 * i, "%2hhx", &to[i]) != 1)
            return -EINVAL;
    return 0;
}

/* write OFFSET DIGITS */
static int do_write(char **words)
{
    const char *digits = words[2] ? words[2] : "";
    size_t length = strlen(digits) / 2;
    uint8_t *to = memory_at(words[1], length);

    return answer(to ? read_digits(digits, to, length) : -ERANGE);
}

/* get PATH OFFSET LENGTH: what a file has, at most so many bytes of it */
static int do_get(char **words)
{
    static uint8_t bytes[FILE_MAX];
    _cleanup_close_ int fd = open(words[1], O_RDONLY | O_CLOEXEC);
    size_t length = number(words[3]), n = 0;
    ssize_t got;

    if (fd < 0)
        return answer(-errno);
    if (length > sizeof(bytes))
        return answer(-E2BIG);
    do {
        got = pread(fd, bytes + n, length - n, (off_t)(number(words[2]) + n));
        if (got < 0)
            return answer(-errno);
        n += (size_t)got;
    } while (got > 0 && n < length);
    return answer_bytes(bytes, n);
}

/* put PATH OFFSET DIGITS: into a file that is there */
static int do_put(char **words)
{
    uint8_t bytes[256];
    size_t length = strlen(words[3]) / 2;
    _cleanup_close_ int fd = open(words[1], O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return answer(-errno);
    if (length > sizeof(bytes) || read_digits(words[3], bytes, length) < 0)
        return answer(-EINVAL);
    return answer(pwrite(fd, bytes, length, (off_t)number(words[2])) < 0 ? -errno : 0);
}

typedef struct Look {
    volatile uint64_t *at;
    uint64_t value;
} Look;

static bool has_come(void *opaque)
{
    const Look *look = opaque;

    return *look->at == look->value;
}

static volatile uint64_t *counter_at(size_t offset)
{
    return (volatile uint64_t *)(void *)((uint8_t *)ivshmem_device_memory(device) + offset);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* ping PEER VECTOR COUNT MILLISECONDS: minimum, median and maximum round trip in microseconds */
static int do_ping(char **words)
{
    unsigned count = number(words[3]);
    _cleanup_free_ double *times = calloc(count + 1, sizeof(*times));
    Look pong = {.at = counter_at(PONG_AT)};

    if (!times || count == 0)
        return answer(-EINVAL);
    for (unsigned i = 0; i < count; i++) {
        double start = now_us();
        int result;

        pong.value = i + 1;
        *counter_at(PING_AT) = i + 1;
        result = ivshmem_device_ring(device, number(words[1]), number(words[2]));
        if (result == 0)
            result = ivshmem_device_wait_for(device, number(words[2]), has_come, &pong,
                                             (int)number(words[4]));
        if (result <= 0)
            return answer(result < 0 ? result : -ETIMEDOUT);
        times[i] = now_us() - start;
    }
    qsort(times, count, sizeof(*times), compare);
    (void)fprintf(port, "ok %.0f %.0f %.0f\n", times[0], times[count / 2], times[count - 1]);
    return 0;
}

/* pong PEER VECTOR COUNT MILLISECONDS: answers that many pings */
static int do_pong(char **words)
{
    unsigned count = number(words[3]);
    Look ping = {.at = counter_at(PING_AT)};

    for (unsigned i = 0; i < count; i++) {
        int result;

        ping.value = i + 1;
        result = ivshmem_device_wait_for(device, number(words[2]), has_come, &ping,
                                         (int)number(words[4]));
        if (result <= 0)
            return answer(result < 0 ? result : -ETIMEDOUT);
        *counter_at(PONG_AT) = i + 1;
        result = ivshmem_device_ring(device, number(words[1]), number(words[2]));
        if (result < 0)
            return answer(result);
    }
    return answer(0);
}

/* given DIGITS: what the next program has on its standard input */
static int do_given(char **words)
{
    return answer(program_given(words[1]));
}

/* start PROGRAM ARGUMENT...: one at a time */
static int do_start(char **words)
{
    return answer(program_start(words + 1));
}

/* until MILLISECONDS TEXT: until the program has printed that */
static int do_until(char **words)
{
    return answer(program_until(words[2], (int)number(words[1])));
}

/* signal NUMBER: to the program */
static int do_signal(char **words)
{
    return answer(program_signal((int)number(words[1])));
}

/* finish MILLISECONDS: waits for the program's end: its status, and what it has printed */
static int do_finish(char **words)
{
    int status = program_finish((int)number(words[1]));

    if (status < 0)
        return answer(status);
    (void)fprintf(port, "ok %d ", status);
    program_print(port);
    (void)fprintf(port, "\n");
    return 0;
}

/* release: the kernel's */
static int do_release(char **words)
{
    struct utsname kernel;

    (void)words;
    if (uname(&kernel) < 0)
        return answer(-errno);
    (void)fprintf(port, "ok %s\n", kernel.release);
    return 0;
}

/* unlink PATH, user NUMBER (of the next programs; their group too) */
static int do_unlink(char **words)
{
    return answer(unlink(words[1]) < 0 ? -errno : 0);
}

static int do_user(char **words)
{
    program_user(number(words[1]));
    return answer(0);
}

static const struct Command {
    const char *name;
    int (*run)(char **words); /* missing arguments are NULL */
    int n_words;              /* at least, with the name */
    bool needs_device;
} commands[] = {
    {"load", do_load, 1, false},     {"list", do_list, 1, false},
    {"appear", do_appear, 2, false}, {"bind", do_bind, 1, false},
    {"unbind", do_unbind, 1, false}, {"open", do_open, 1, false},
    {"close", do_close, 1, true},    {"id", do_id, 1, true},
    {"ring", do_ring, 3, true},      {"wait", do_wait, 3, true},
    {"read", do_read, 3, true},      {"write", do_write, 3, true},
    {"get", do_get, 4, false},       {"put", do_put, 4, false},
    {"ping", do_ping, 5, true},      {"pong", do_pong, 5, true},
    {"given", do_given, 1, false},   {"start", do_start, 2, false},
    {"until", do_until, 3, false},   {"signal", do_signal, 2, false},
    {"finish", do_finish, 2, false}, {"release", do_release, 1, false},
    {"unlink", do_unlink, 2, false}, {"user", do_user, 2, false},
};

static int run(char *line)
{
    char *words[MAX_WORDS + 1] = {NULL};
    char *rest = NULL;
    int n = 0;

    for (char *word = strtok_r(line, " \r\n", &rest); word && n < MAX_WORDS;
         word = strtok_r(NULL, " \r\n", &rest))
        words[n++] = word;
    if (n > 0 && strcmp(words[0], "quit") == 0)
        return 1;
    for (size_t i = 0; n > 0 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, words[0]) != 0)
            continue;
        if (n < commands[i].n_words)
            return answer(-EINVAL);
        return commands[i].needs_device && !device ? answer(-ENODEV) : commands[i].run(words);
    }
    return answer(-ENOSYS);
}

/* @return 0, or -1 and errno */
static int open_port(void)
{
    struct termios raw;
    int fd = open(PORT, O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 || tcgetattr(fd, &raw) < 0)
        return -1;
    cfmakeraw(&raw);
    if (tcsetattr(fd, TCSANOW, &raw) < 0)
        return -1;
    input = fdopen(fd, "r");
    port = fdopen(dup(fd), "w");
    return input && port ? 0 : -1;
}

int main(void)
{
    static char line[LINE_SIZE];

    (void)mount("proc", "/proc", "proc", 0, NULL);
    (void)mount("sysfs", "/sys", "sysfs", 0, NULL);
    (void)mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    (void)mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
    if (open_port() == 0) {
        (void)fprintf(port, "ready\n");
        (void)fflush(port);
        while (fgets(line, sizeof(line), input) && run(line) == 0)
            (void)fflush(port);
    } else {
        perror(PORT);
    }
    (void)reboot(RB_POWER_OFF);
    return 1;
}
