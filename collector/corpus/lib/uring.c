/* Reads the files named on standard input and sends them to ADDRESS PORT, all by io_uring. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct io_uring ring;

/* Submits what was prepared and gives its result. */
static int wait_one(void)
{
    struct io_uring_cqe *cqe;
    int result;

    io_uring_submit(&ring);
    if (io_uring_wait_cqe(&ring, &cqe) < 0)
        exit(1);
    result = cqe->res;
    io_uring_cqe_seen(&ring, cqe);
    if (result < 0) {
        fprintf(stderr, "io_uring: %s\n", strerror(-result));
        exit(1);
    }
    return result;
}

int main(int argc, char **argv)
{
    static char buffer[65536];
    char name[4096];
    struct sockaddr_in to = { .sin_family = AF_INET };
    int out = socket(AF_INET, SOCK_STREAM, 0);

    if (argc != 3 || io_uring_queue_init(8, &ring, 0) < 0)
        return 1;
    to.sin_port = htons(atoi(argv[2]));
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    if (connect(out, (struct sockaddr *)&to, sizeof to) < 0)
        return 1;
    while (fgets(name, sizeof name, stdin)) {
        int file, length;
        long at = 0;

        name[strcspn(name, "\n")] = 0;
        io_uring_prep_openat(io_uring_get_sqe(&ring), AT_FDCWD, name, O_RDONLY, 0);
        file = wait_one();
        for (;; at += length) {
            int sent = 0;

            io_uring_prep_read(io_uring_get_sqe(&ring), file, buffer, sizeof buffer, at);
            length = wait_one();
            if (!length)
                break;
            while (sent < length) {
                io_uring_prep_send(io_uring_get_sqe(&ring), out, buffer + sent, length - sent, 0);
                sent += wait_one();
            }
        }
        close(file);
    }
    return 0;
}
