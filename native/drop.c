/* What programs in a sandbox must not have: rights over the host's kernel, and calls that lead around the sandbox. */
#include "kernel.h"
#include "scope.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* What package managers and builds use; nothing that reaches the host's kernel or disks. */
static const int KEPT[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,           CAP_FSETID,     CAP_KILL,        CAP_SETGID,
                           CAP_SETUID, CAP_SETPCAP,      CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_AUDIT_WRITE, CAP_SETFCAP};

int drop_privileges(struct failure *why) {
  for (int capability = 0; capability <= 63; capability++) {
    int kept = 0;
    for (size_t i = 0; i < sizeof KEPT / sizeof *KEPT; i++) kept |= KEPT[i] == capability;
    if (kept || prctl(PR_CAPBSET_READ, capability, 0, 0, 0) < 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return fail_errno(why, "A right cannot be given up");
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &head, data) < 0) return fail_errno(why, "The rights cannot be read");
  data[0].inheritable = data[1].inheritable = 0;
  if (syscall(SYS_capset, &head, data) < 0) return fail_errno(why, "The rights cannot be given up");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail_errno(why, "New rights cannot be kept out");
  return 0;
}

int drop_use(int looks, struct failure *why) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct one[2] = {{0}};
  one[CAP_TO_INDEX(CAP_SYS_ADMIN)].permitted = CAP_TO_MASK(CAP_SYS_ADMIN);
  if (looks) {
    one[CAP_TO_INDEX(CAP_SYS_PTRACE)].permitted |= CAP_TO_MASK(CAP_SYS_PTRACE);
    one[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective = CAP_TO_MASK(CAP_SYS_PTRACE);
  }
  if (syscall(SYS_capset, &head, one) < 0) return fail_errno(why, "The rights cannot be given up");
  return 0;
}

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#endif

#ifdef MACHINE
/* Each gives EPERM, as if the user lacked the right. */
static const unsigned REFUSED[] = {
    SYS_mount, SYS_umount2, SYS_pivot_root, NR_OPEN_TREE, NR_MOVE_MOUNT, NR_FSOPEN, NR_FSCONFIG, NR_FSMOUNT, 433 /* fspick */,
    NR_MOUNT_SETATTR, SYS_bpf, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_kexec_load, SYS_kexec_file_load, SYS_init_module,
    SYS_finit_module, SYS_delete_module, SYS_userfaultfd, SYS_perf_event_open, SYS_swapon, SYS_swapoff, SYS_reboot, SYS_acct,
    SYS_quotactl, SYS_syslog, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_setns, SYS_sethostname,
    SYS_setdomainname, SYS_open_by_handle_at, SYS_vhangup, 425 /* io_uring_setup */,
    426 /* io_uring_enter */, 427 /* io_uring_register */, 443 /* quotactl_fd */, 467 /* open_tree_attr */,
#ifdef SYS_nfsservctl
    SYS_nfsservctl,
#endif
#ifdef SYS_lookup_dcookie
    SYS_lookup_dcookie,
#endif
#ifdef SYS_iopl
    SYS_iopl, SYS_ioperm,
#endif
};
/* Families of sockets that stay within the network of the sandbox. */
static const unsigned FAMILIES[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
static const unsigned SOCKETS[] = {SYS_socket, SYS_socketpair};
/* By a lease on a file that it can only read it would hold up whoever outside writes to that. */
#define SET_LEASE 1024
#define TIOCSTI_CALL 0x5412
#define TIOCLINUX_CALL 0x541C
/* Another line discipline, which may be a module that the kernel then loads. */
#define TIOCSETD_CALL 0x5423
#define NEW_NAMESPACES 0x7E020080u /* CLONE_NEW*: user, mount, pid, ipc, uts, net, cgroup */

/* Who waits for an answer is woken by nothing but its death: else each signal would have it ask again. Since Linux 5.19. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1ul << 5)
#endif
static int filter_with_listener(const struct sock_fprog *program) {
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                      SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, program);
}

#define COUNT(list) (sizeof list / sizeof *list)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define REFUSE(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
/* Unless the accumulator is `value`, passes over `length` statements. */
#define IF(value, length) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, length)

static const unsigned RENAMES[] = {
#ifdef SYS_rename
    SYS_rename,
#endif
#ifdef SYS_renameat
    SYS_renameat,
#endif
    SYS_renameat2,
};

int drop_syscalls(int *listener, struct failure *why) {
  struct sock_filter code[COUNT(REFUSED) * 2 + COUNT(FAMILIES) * COUNT(SOCKETS) * 2 + COUNT(RENAMES) * 2 + 64];
  size_t n = 0;
#define ADD(...)                                                          \
  do {                                                                    \
    struct sock_filter more[] = {__VA_ARGS__};                            \
    for (size_t i = 0; i < COUNT(more); i++) code[n++] = more[i];         \
  } while (0)
  /* Calls of another machine have other numbers. */
  ADD(LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0), REFUSE(ENOSYS), LOAD(nr));
#ifdef __x86_64__
  ADD(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), REFUSE(ENOSYS));
#endif
  for (size_t each = 0; each < COUNT(REFUSED); each++) ADD(IF(REFUSED[each], 1), REFUSE(EPERM));
  /* What it is asked for stands in memory, which no filter reads: programs then use clone. */
  ADD(IF(435, 1), REFUSE(ENOSYS));
  ADD(IF(SYS_clone, 4), LOAD(args[0]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1), REFUSE(EPERM), ALLOW);
  ADD(IF(SYS_unshare, 4), LOAD(args[0]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1), REFUSE(EPERM), ALLOW);
  ADD(IF(SYS_ioctl, 6), LOAD(args[1]), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI_CALL, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSETD_CALL, 1, 0), IF(TIOCLINUX_CALL, 1), REFUSE(EPERM), ALLOW);
  ADD(IF(SYS_fcntl, 4), LOAD(args[1]), IF(SET_LEASE, 1), REFUSE(EPERM), ALLOW);
  for (size_t call = 0; call < COUNT(SOCKETS); call++) {
    ADD(IF(SOCKETS[call], 2 + 2 * COUNT(FAMILIES)), LOAD(args[0]));
    for (size_t each = 0; each < COUNT(FAMILIES); each++) ADD(IF(FAMILIES[each], 1), ALLOW);
    ADD(REFUSE(EAFNOSUPPORT));
  }
  for (size_t each = 0; listener && each < COUNT(RENAMES); each++)
    ADD(IF(RENAMES[each], 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
  ADD(ALLOW);
  struct sock_fprog program = {.len = (unsigned short)n, .filter = code};
  if (listener) {
    *listener = filter_with_listener(&program);
    return *listener < 0 ? fail_errno(why, "Renames cannot be looked after") : 0;
  }
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0) return fail_errno(why, "Calls cannot be kept out");
  return 0;
}

int can_hear_calls(void) {
  struct sock_filter all = ALLOW;
  struct sock_fprog program = {.len = 1, .filter = &all};
  int status;
  pid_t child = fork();
  /* The kernel may be too old, or somebody around us may hear calls already, besides whom it lets nobody. */
  if (child == 0) _exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_with_listener(&program) < 0);
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}
#else
int drop_syscalls(int *listener, struct failure *why) {
  return listener ? fail(why, "Renames cannot be looked after on this machine") : 0;
}
int can_hear_calls(void) { return 0; }
#endif

void close_from(int first) {
  if (syscall(NR_CLOSE_RANGE, first, ~0u, 0) == 0) return;
  struct rlimit most;
  if (getrlimit(RLIMIT_NOFILE, &most) < 0) most.rlim_cur = 1024;
  for (int fd = first; (rlim_t)fd < most.rlim_cur; fd++) close(fd);
}
