/* Tries to get out of a sandbox, each way by itself, and says what the kernel answered: a name and an errno a line; 0 is a way out. */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>

static void tell(const char *name, long got) {
  printf("%s %d\n", name, got < 0 ? errno : 0);
  errno = 0;
}
static long put(const char *file, const char *text) {
  int fd = open(file, O_WRONLY);
  if (fd < 0) return -1;
  return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

/* getpid as a program of 32 bits calls it. */
static long old_call(void) {
#ifdef __x86_64__
  long got = 20;
  __asm__ volatile("int $0x80" : "+a"(got) : : "memory", "r8", "r9", "r10", "r11");
  if (got >= 0) return got;
  errno = (int)-got;
#else
  errno = ENOSYS;
#endif
  return -1;
}

/* Who can trace process 1 can undo that it dies with its owner, and write to the program that it runs. */
static void first_process(void) {
  tell("first-trace", ptrace(PTRACE_SEIZE, 1, 0, 0));
  tell("first-memory", open("/proc/1/mem", O_RDWR));
  tell("first-program", open("/proc/1/exe", O_PATH));
  tell("first-root", open("/proc/1/root", O_PATH));
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IONBF, 0);
  first_process();
  if (argc > 1 && strcmp(argv[1], "first") == 0) return 0;
  tell("mount", mount("none", "/mnt", "tmpfs", 0, NULL));
  tell("remount", mount("none", "/", NULL, MS_REMOUNT | MS_BIND, NULL));
  tell("umount", umount2("/tmp", MNT_DETACH));
  tell("umount-proc-sys", umount2("/proc/sys", MNT_DETACH));
  tell("pivot_root", syscall(SYS_pivot_root, ".", "."));
  tell("open_tree", syscall(428, AT_FDCWD, "/", 1));
  tell("fsopen", syscall(430, "tmpfs", 0));
  tell("mount_setattr", syscall(442, AT_FDCWD, "/", 0, &(long[4]){0, 1, 0, 0}, 32));
  tell("unshare-user", unshare(CLONE_NEWUSER));
  tell("unshare-mount", unshare(CLONE_NEWNS));
  tell("unshare-net", unshare(CLONE_NEWNET));
  tell("clone-user", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
  tell("clone3", syscall(435, NULL, 0));
  tell("setns", syscall(SYS_setns, open("/proc/self/ns/net", O_RDONLY), 0));
  tell("bpf", syscall(SYS_bpf, 5, NULL, 0));
  tell("open_tree_attr", syscall(467, AT_FDCWD, "/", 1, &(long[4]){0, 1, 0, 0}, 32));
  tell("32-bit", old_call());
  tell("x32", syscall(0x40000000 | SYS_getpid));
  tell("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1));
  tell("add_key", syscall(SYS_add_key, "user", "x", "y", 1, KEY_SPEC_USER_KEYRING));
  tell("request_key", syscall(SYS_request_key, "user", "x", NULL, 0));
  tell("userfaultfd", syscall(SYS_userfaultfd, 0));
  tell("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
  tell("io_uring", syscall(425, 1, NULL));
  tell("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
  tell("init_module", syscall(SYS_init_module, NULL, 0, ""));
  tell("swapon", syscall(SYS_swapon, "/nothing", 0));
  /* Without the magic numbers nobody restarts anything. */
  tell("reboot", syscall(SYS_reboot, 1, 1, 0, NULL));
  tell("syslog", syscall(SYS_syslog, 10, NULL, 0));
  tell("settimeofday", syscall(SYS_settimeofday, &(struct timeval){1, 0}, NULL));
  tell("sethostname", sethostname("x", 1));
  tell("open_by_handle_at", syscall(SYS_open_by_handle_at, -1, NULL, 0));
  tell("mknod", mknod("disk", S_IFBLK | 0600, makedev(254, 0)));
  tell("vsock", socket(40, SOCK_STREAM, 0));
  tell("packet", socket(AF_PACKET, SOCK_RAW, 0));
  tell("alg", socket(38, SOCK_SEQPACKET, 0));
  tell("tipc-pair", socketpair(30, SOCK_SEQPACKET, 0, (int[2]){0}));
  tell("raw", socket(AF_INET, SOCK_RAW, 1));
  tell("tiocsti", ioctl(0, TIOCSTI, "x"));
  tell("new-privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? (errno = EPERM, -1) : 0);
  tell("core_pattern", put("/proc/sys/kernel/core_pattern", "|/tmp/x"));
  tell("ip_forward", put("/proc/sys/kernel/hostname", "x"));
  tell("sysrq", put("/proc/sysrq-trigger", "h"));
  tell("memory", open("/dev/mem", O_RDWR));
  tell("kernel-log", put("/dev/kmsg", "x"));
  tell("host-signal", kill(argc > 1 ? (pid_t)strtol(argv[1], NULL, 10) : 999999, 0));
  tell("host-ptrace", ptrace(PTRACE_ATTACH, argc > 1 ? (pid_t)strtol(argv[1], NULL, 10) : 999999, 0, 0));
  for (int i = 2; i < argc; i++) tell(argv[i], put(argv[i], "escaped"));
  return 0;
}
