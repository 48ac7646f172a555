/* Process 1 of a sandbox: its namespaces live as long as it does, and it lives as long as the helper. */
#include "kernel.h"
#include "scope.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* By it a script inside can tell that it is inside. */
#define NAME "shepherd-holder"

static int put(const char *file, const char *text, struct failure *why) {
  int fd = open(file, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) {
    fail_errno(why, "%s cannot be written", file);
    if (fd >= 0) close(fd);
    return -1;
  }
  close(fd);
  return 0;
}

static int ordinary;

int in_user_namespace(void) { return ordinary; }

int enter_user_namespace(struct failure *why) {
  unsigned uid = geteuid(), gid = getegid();
  char map[64];
  if (unshare(CLONE_NEWUSER) < 0) return fail_errno(why, "A user namespace cannot be made");
  if (put("/proc/self/setgroups", "deny", why) < 0) return -1;
  /* To itself and never to 0: nobody becomes root by this. */
  snprintf(map, sizeof map, "%u %u 1", uid, uid);
  if (put("/proc/self/uid_map", map, why) < 0) return -1;
  snprintf(map, sizeof map, "%u %u 1", gid, gid);
  if (put("/proc/self/gid_map", map, why) < 0) return -1;
  ordinary = 1;
  return 0;
}

/* Waits for what is left behind to it, and for nothing else: its end is a SIGKILL. */
static void __attribute__((noreturn)) rest(void) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_SETMASK, &child, NULL);
  for (;;) {
    int signal;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    sigwait(&child, &signal);
  }
}

static void __attribute__((noreturn))
first_process(int say, const struct words *words, size_t at, unsigned port, int renames, char *name, size_t room) {
  struct failure why = {{0}};
  char byte = 'k';
  int listener = -1;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  umask(022);
  if (chdir("/") < 0 || mounts_make(words, at, &why) < 0) goto failed;
  if (port > 0 && (net_up(&why) < 0 || (listener = net_listen(port, &why)) < 0)) goto failed;
  if (drop_privileges(&why) < 0 || drop_syscalls(NULL, &why) < 0 || drop_use(renames, &why) < 0) goto failed;
  if (renames && renames_ready(&why) < 0) goto failed;
  /* Giving up rights may have undone it. */
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  memset(name, 0, room);
  strncpy(name, NAME, room - 1);
  prctl(PR_SET_NAME, NAME, 0, 0, 0);
  {
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
      char bytes[CMSG_SPACE(sizeof(int))];
      struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (listener >= 0) {
      message.msg_control = control.bytes;
      message.msg_controllen = sizeof control.bytes;
      struct cmsghdr *head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = SOL_SOCKET;
      head->cmsg_type = SCM_RIGHTS;
      head->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(head), &listener, sizeof listener);
    }
    if (sendmsg(say, &message, MSG_NOSIGNAL) != 1) _exit(1);
  }
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) {
    if (null >= 0) dup2(null, fd);
    else close(fd);
  }
  if (renames) {
    renames_close_others();
    renames_serve();
  }
  close_from(3);
  rest();
failed:
  byte = 'f';
  if (send(say, &byte, 1, MSG_NOSIGNAL) == 1) send(say, why.text, strlen(why.text), MSG_NOSIGNAL);
  _exit(1);
}

/* The byte that says how it went, and the socket that may come with it. */
static char hear(int from, int *listener) {
  char byte = 0;
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t got;
  do got = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got != 1) return 0;
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) memcpy(listener, CMSG_DATA(head), sizeof *listener);
  return byte;
}

int hold_start(const struct words *words, size_t at, unsigned port, int renames, char *name, size_t room, struct holder *into,
               struct failure *why) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return fail_errno(why, "The sandbox cannot be made");
  /* Its mounts become its own once it has taken what it is to show. */
  into->quiet = renames ? renames_quiet() : NULL;
  unsigned long flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | (port ? CLONE_NEWNET : 0);
  pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (pid < 0) {
    fail_errno(why, "The namespaces cannot be made");
    renames_quiet_end(into->quiet);
    close(pair[0]);
    close(pair[1]);
    return -1;
  }
  if (pid == 0) {
    close(pair[0]);
    first_process(pair[1], words, at, port, renames, name, room);
  }
  close(pair[1]);
  into->pid = pid;
  into->listener = -1;
  char said = hear(pair[0], &into->listener);
  if (said != 'k') {
    size_t used = 0;
    ssize_t got;
    if (said == 'f')
      while (used < sizeof why->text - 1 && (got = read(pair[0], why->text + used, sizeof why->text - 1 - used)) > 0) used += (size_t)got;
    if (used == 0) fail(why, "The sandbox ended while it was made");
    else why->text[used] = 0;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    renames_quiet_end(into->quiet);
  }
  close(pair[0]);
  return said == 'k' ? 0 : -1;
}
