/* SPDX-License-Identifier: MIT */
#include "guest-program.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/deadline.h"

#define OUTPUT_SIZE 16384 /* what comes after that is lost */

typedef struct Output {
    int fd; /* -1 at its end */
    char text[OUTPUT_SIZE];
    size_t size;
} Output;

static Output outputs[2] = {{.fd = -1}, {.fd = -1}};
static char given[4096];
static size_t n_given;
static unsigned user;
static pid_t running;

int program_given(const char *digits)
{
    n_given = 0;
    for (; digits && digits[0] && digits[1]; digits += 2) {
        if (n_given == sizeof(given) || sscanf(digits, "%2hhx", &given[n_given]) != 1)
            return -EINVAL;
        n_given++;
    }
    return 0;
}

void program_user(unsigned id)
{
    user = id;
}

static void become(char **words, const int in[2], int out[2][2])
{
    (void)dup2(in[0], 0);
    (void)dup2(out[0][1], 1);
    (void)dup2(out[1][1], 2);
    if (user && (setgroups(0, NULL) < 0 || setgid(user) < 0 || setuid(user) < 0))
        _exit(126);
    (void)execv(words[0], words);
    perror(words[0]);
    _exit(127);
}

int program_start(char **words)
{
    int in[2], out[2][2];

    if (running)
        return -EBUSY;
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out[0], O_CLOEXEC) < 0 || pipe2(out[1], O_CLOEXEC) < 0)
        return -errno;
    if (write(in[1], given, n_given) != (ssize_t)n_given)
        return -EIO;
    n_given = 0;
    running = fork();
    if (running == 0)
        become(words, in, out);
    fd_close(in[0]);
    fd_close(in[1]);
    for (int i = 0; i < 2; i++) {
        fd_close(out[i][1]);
        fd_close(outputs[i].fd);
        outputs[i] = (Output){.fd = out[i][0]};
    }
    return running < 0 ? -errno : 0;
}

/* Reads what there is, when there is. @return false when the time is up */
static bool take_output(int64_t deadline)
{
    struct pollfd fds[2] = {{.fd = outputs[0].fd, .events = POLLIN},
                            {.fd = outputs[1].fd, .events = POLLIN}};

    if (poll(fds, 2, deadline_left(deadline)) <= 0)
        return false;
    for (int i = 0; i < 2; i++) {
        Output *output = &outputs[i];
        char lost[256];
        size_t room = OUTPUT_SIZE - 1 - output->size;
        ssize_t n;

        if (!fds[i].revents)
            continue;
        n = read(output->fd, room ? output->text + output->size : lost, room ? room : sizeof(lost));
        if (n > 0 && room)
            output->size += (size_t)n;
        if (n <= 0)
            output->fd = fd_close(output->fd);
    }
    return true;
}

int program_until(const char *text, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);

    while (!strstr(outputs[0].text, text)) {
        if (outputs[0].fd < 0)
            return -EPIPE;
        if (!take_output(deadline))
            return -ETIMEDOUT;
    }
    return 0;
}

int program_signal(int number)
{
    if (!running)
        return -ESRCH;
    return kill(running, number) < 0 ? -errno : 0;
}

int program_finish(int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    int status;

    if (!running)
        return -ESRCH;
    while (outputs[0].fd >= 0 || outputs[1].fd >= 0)
        if (!take_output(deadline))
            return -ETIMEDOUT;
    if (waitpid(running, &status, 0) < 0)
        return -errno;
    running = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void program_print(FILE *out)
{
    for (int i = 0; i < 2; i++) {
        (void)fputs(i > 0 ? " =" : "=", out);
        for (size_t at = 0; at < outputs[i].size; at++)
            (void)fprintf(out, "%02x", (unsigned char)outputs[i].text[at]);
    }
}
