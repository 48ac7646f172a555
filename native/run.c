/*
 * Starts programs in sandboxes. To start them from Node takes as long as to copy the tables of its memory, which is large, and one process more
 * between it and the program, to stand in the sandbox's namespace of processes.
 */
#include "kernel.h"
#include "scope.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWNET)

/* The process that we serve, and the namespace of processes that we are in. */
static int maker = -1, own = -1;

int run_prepare(pid_t parent) {
  maker = (int)syscall(NR_PIDFD_OPEN, parent, 0);
  own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  if (maker < 0 || own < 0) return -1;
  int fd = (int)syscall(NR_PIDFD_GETFD, maker, 0, 0);
  if (fd >= 0) close(fd);
  return fd >= 0 || errno == EBADF ? 0 : -1;
}

static void __attribute__((noreturn)) inside(int holder, const int *held, char **program) {
  /* Until it is another program it has in its memory what concerns other sandboxes. */
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  for (int fd = 0; fd < RUN_HELD; fd++)
    if (dup2(held[fd], fd) < 0) _exit(126);
  struct failure why = {{0}};
  if (setns(holder, NAMESPACES) < 0) {
    fail_errno(&why, "The sandbox cannot be entered");
    _exit(give_up(why.text));
  }
  environ = NULL;
  char **grants = program;
  while (*program && (**program == '+' || **program == '~')) program++;
  _exit(become(1, -1, grants, (size_t)(program - grants), program));
}

pid_t run_start(pid_t holder, char *const *numbers, char **program, struct failure *why) {
  int held[RUN_HELD], there = (int)syscall(NR_PIDFD_OPEN, holder, 0);
  pid_t pid = -1;
  for (int i = 0; i < RUN_HELD; i++) held[i] = -1;
  if (there < 0) {
    fail(why, "The sandbox has ended");
    goto end;
  }
  for (int i = 0; i < RUN_HELD; i++) {
    held[i] = strcmp(numbers[i], "-") == 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : (int)syscall(NR_PIDFD_GETFD, maker, atoi(numbers[i]), 0);
    if (held[i] < RUN_HELD) {
      fail_errno(why, "The descriptor %s cannot be taken over", numbers[i]);
      goto end;
    }
  }
  if (setns(there, CLONE_NEWPID) < 0) {
    fail_errno(why, "The sandbox cannot be entered");
    goto end;
  }
  pid = fork();
  if (pid == 0) inside(there, held, program);
  if (pid < 0) fail_errno(why, "No process can be started");
  /* What is started next must not be in there. */
  if (setns(own, CLONE_NEWPID) < 0) _exit(1);
end:
  for (int i = 0; i < RUN_HELD; i++)
    if (held[i] >= 0) close(held[i]);
  if (there >= 0) close(there);
  return pid;
}
