/*
 * deny PROGRAM ARGUMENTS…: runs a program under a filter of calls (seccomp) by which it gets no namespaces, as in a container of Docker's: unshare and
 * clone with a flag for one, setns, and mounts say EPERM. No program that it starts comes out of that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEW_NAMESPACES 0x7E020080u /* CLONE_NEW*: user, mount, pid, ipc, uts, net, cgroup */
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SAY(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
/* Unless it is that call, passes over `length` statements. */
#define IF(call, length) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, length)
#define WITH_FLAGS LOAD(args[0]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1), SAY(EPERM), ALLOW

int main(int argc, char **argv) {
  struct sock_filter code[] = {
      LOAD(nr),
      IF(SYS_setns, 1), SAY(EPERM),
      IF(SYS_mount, 1), SAY(EPERM),
      IF(428 /* open_tree */, 1), SAY(EPERM),
      IF(430 /* fsopen */, 1), SAY(EPERM),
      /* What it is asked for stands in memory: programs then use clone. */
      IF(435 /* clone3 */, 1), SAY(ENOSYS),
      IF(SYS_clone, 4), WITH_FLAGS,
      IF(SYS_unshare, 4), WITH_FLAGS,
      ALLOW,
  };
  struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
  if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0) {
    perror("deny");
    return 125;
  }
  execvp(argv[1], argv + 1);
  perror(argv[1]);
  return 127;
}
