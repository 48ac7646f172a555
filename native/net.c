#include "scope.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int net_up(struct failure *why) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno(why, "The sandbox has no network");
  struct ifreq request = {0};
  strcpy(request.ifr_name, "lo");
  int done = ioctl(fd, SIOCGIFFLAGS, &request);
  request.ifr_flags |= IFF_UP;
  if (done == 0) done = ioctl(fd, SIOCSIFFLAGS, &request);
  if (done < 0) fail_errno(why, "The network of the sandbox cannot be taken up");
  close(fd);
  return done < 0 ? -1 : 0;
}

int net_listen(unsigned port, struct failure *why) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 511) == 0)
    return fd;
  fail_errno(why, "Nothing can listen on port %u of the sandbox", port);
  if (fd >= 0) close(fd);
  return -1;
}

/* As Node's processes hand servers to each other; `id` is digits. */
int net_hand_over(int channel, int listener, const char *id) {
  char text[256];
  int length = snprintf(text, sizeof text,
                        "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Server\",\"msg\":{\"id\":\"%s\"},\"key\":\"\"}\n", id);
  if (length < 0 || (size_t)length >= sizeof text) return -1;
  struct iovec part = {.iov_base = text, .iov_len = (size_t)length};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(head), &listener, sizeof listener);
  return sendmsg(channel, &message, MSG_NOSIGNAL) == length ? 0 : -1;
}
