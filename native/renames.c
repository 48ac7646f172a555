/*
 * Renames of directories in an ordinary user's overlays. The kernel refuses those that a layer below has (EXDEV), since it may not note there
 * what they were called. So it asks process 1 of the sandbox before each rename of a command. That has all else stand still (still.c), makes such a
 * directory one that the upper layer alone has (move.c), and lets the kernel perform the call itself, with all its rules: no call is done in
 * another's name. So nobody inside can tell that from a rename, and who looks from outside has it wait meanwhile (struct quiet).
 *
 * Nothing here holds anybody back. Whoever changes what a path leads to meanwhile gets what the kernel says to that.
 */
#include "kernel.h"
#include "renames.h"
#include "scope.h"

#include <errno.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* In process 1, above all that is open while the sandbox is made: where listeners come, and what `enter` sends them by. */
#define COME 100
#define WAY 101

/* Since Linux 5.5 and 6.6. */
#ifndef SECCOMP_USER_NOTIF_FLAG_CONTINUE
#define SECCOMP_USER_NOTIF_FLAG_CONTINUE 1u
#endif
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif
#define SET_NOTIF_FLAGS SECCOMP_IOW(4, uint64_t)
#define WAKE_HERE 1u

static int possible;

int renames_try(void) {
  struct rlimit most;
  return possible = getrlimit(RLIMIT_NOFILE, &most) == 0 && most.rlim_cur > WAY && can_hear_calls() && still_possible();
}

int renames_possible(void) { return possible; }

struct quiet {
  /* How many outside want all to be as the commands have left it, and whether it is not, for the moment. */
  atomic_int wanted, broken;
};
static struct quiet *own;

struct quiet *renames_quiet(void) {
  void *got = mmap(NULL, sizeof *own, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return own = got == MAP_FAILED ? NULL : got;
}

void renames_quiet_end(struct quiet *quiet) {
  if (quiet) munmap(quiet, sizeof *quiet);
}

int renames_want(struct quiet *quiet, int wanted) {
  atomic_store(&quiet->wanted, wanted);
  return !atomic_load(&quiet->broken);
}

int renames_ready(struct failure *why) {
  int pair[2], done = 0;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return fail_errno(why, "Renames cannot be looked after");
  if (dup3(pair[0], COME, O_CLOEXEC) < 0 || dup3(pair[1], WAY, O_CLOEXEC) < 0) done = fail_errno(why, "Renames cannot be looked after");
  close(pair[0]);
  close(pair[1]);
  return done;
}

void renames_close_others(void) {
  for (int fd = 3; fd < COME; fd++) close(fd);
  close_from(WAY + 1);
}

int renames_way(const char *pid, int file, struct failure *why) {
  char path[64];
  struct stat its, ours;
  int way = -1, process = (int)syscall(NR_PIDFD_OPEN, atoi(pid), 0);
  snprintf(path, sizeof path, "/proc/%d/ns/pid", atoi(pid));
  /* Another process may have the number by now. */
  if (process >= 0 && stat(path, &its) == 0 && fstat(file, &ours) == 0 && its.st_dev == ours.st_dev && its.st_ino == ours.st_ino)
    way = (int)syscall(NR_PIDFD_GETFD, process, WAY, 0);
  if (way < 0) fail(why, "The sandbox has ended.");
  if (process >= 0) close(process);
  return way;
}

/* What hears the calls of a command, and what is closed once that is known. */
union two_descriptors {
  char bytes[CMSG_SPACE(2 * sizeof(int))];
  struct cmsghdr align;
};

int renames_hand_over(int way, int listener, struct failure *why) {
  char byte = 'l';
  int known[2];
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  union two_descriptors control = {0};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(2 * sizeof(int));
  if (pipe2(known, O_CLOEXEC) < 0) return fail_errno(why, "Renames cannot be looked after");
  memcpy(CMSG_DATA(head), (int[]){listener, known[1]}, 2 * sizeof(int));
  if (sendmsg(way, &message, MSG_NOSIGNAL) != 1) return fail_errno(why, "Renames cannot be looked after");
  close(known[1]);
  close(listener);
  close(way);
  /* Nobody begins while all others stand still. */
  while (read(known[0], &byte, 1) < 0 && errno == EINTR) {
  }
  close(known[0]);
  return 0;
}

static int next_listener(void) {
  char byte;
  int got[2] = {-1, -1};
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  union two_descriptors control;
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  if (recvmsg(COME, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1) return -1;
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof got))
    memcpy(got, CMSG_DATA(head), sizeof got);
  if (got[1] >= 0) close(got[1]);
  return got[0];
}

/* The path at an address of a process. */
static int path_in(pid_t pid, uint64_t address, char *path, size_t room) {
  for (size_t used = 0; used < room;) {
    /* What lies behind the end of a page may not be there. */
    size_t more = 4096 - (address + used) % 4096;
    if (more > room - used) more = room - used;
    struct iovec here = {.iov_base = path + used, .iov_len = more}, there = {.iov_base = (void *)(uintptr_t)(address + used), .iov_len = more};
    ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
    if (got <= 0) return -1;
    if (memchr(path + used, 0, (size_t)got)) return 0;
    used += (size_t)got;
  }
  return -1;
}

/* Where a path of a process starts; from there it is `path`. */
static int start_of(pid_t pid, int at, const char *path) {
  char start[64];
  if (*path == '/') snprintf(start, sizeof start, "/proc/%d/root", pid);
  else if (at == AT_FDCWD) snprintf(start, sizeof start, "/proc/%d/cwd", pid);
  else snprintf(start, sizeof start, "/proc/%d/fd/%d", pid, at);
  return open(start, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Whether the path of a process means what it means here: in a root of its own it would lead out of that. */
static int same_root(pid_t pid) {
  char path[64];
  struct stat its, ours;
  snprintf(path, sizeof path, "/proc/%d/root", pid);
  return stat(path, &its) == 0 && stat("/", &ours) == 0 && its.st_dev == ours.st_dev && its.st_ino == ours.st_ino;
}

/* The two names of a call; the second one counts only where each takes the place of the other. */
struct named {
  int at[2];
  uint64_t path[2];
  int count;
};

static struct named names_of(const struct seccomp_data *call) {
  const uint64_t *a = (const uint64_t *)call->args;
#ifdef SYS_rename
  if (call->nr == SYS_rename) return (struct named){{AT_FDCWD, AT_FDCWD}, {a[0], a[1]}, 1};
#endif
  int exchange = call->nr == SYS_renameat2 && (a[4] & RENAME_EXCHANGE);
  return (struct named){{(int)a[0], (int)a[2]}, {a[1], a[3]}, exchange ? 2 : 1};
}

/* Whether a path of a process leads to a directory. */
static int is_directory(pid_t pid, int at, const char *path) {
  struct stat about;
  if (*path == '/') return fstatat(AT_FDCWD, path, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(about.st_mode);
  int start = start_of(pid, at, path);
  int is = start >= 0 && fstatat(start, path, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(about.st_mode);
  if (start >= 0) close(start);
  return is;
}

/* Calls on directories, which wait for us. */
static struct job {
  int listener;
  struct seccomp_notif call;
  /* When it was heard, how often it was tried, and whether what takes long is done (move_warm). */
  long since;
  int tries, warm;
} *jobs;
static size_t jobs_count, jobs_room;

static int waits(const void *job) {
  const struct job *its = job;
  return ioctl(its->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &its->call.id) == 0;
}

static int has_job(pid_t tid) {
  for (size_t i = 0; i < jobs_count; i++)
    if ((pid_t)jobs[i].call.pid == tid) return 1;
  return 0;
}

static void go_on(const struct job *job) {
  struct seccomp_notif_resp answer = {.id = job->call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  ioctl(job->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

/* Whether there is something to do for a call. What was read is the caller's only if it waits still. */
static int concerns_directory(const struct job *job) {
  char path[4096];
  pid_t pid = (pid_t)job->call.pid;
  struct named named = names_of(&job->call.data);
  for (int i = 0; i < named.count; i++)
    if (path_in(pid, named.path[i], path, sizeof path) == 0 && is_directory(pid, named.at[i], path)) return waits(job);
  return 0;
}

/* The directory above a name of a call, and the name; -1 if there is nothing to do for it. */
static int above(const struct job *job, int at, uint64_t address, char *path, size_t room, char **name) {
  pid_t pid = (pid_t)job->call.pid;
  struct statfs on;
  if (path_in(pid, address, path, room) < 0) return -1;
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') path[--length] = 0;
  char *slash = strrchr(path, '/');
  *name = slash ? slash + 1 : path;
  int start = start_of(pid, at, path);
  if (start < 0) return -1;
  const char *to = slash ? path : ".";
  if (slash) *slash = 0;
  while (slash && *to == '/') to++;
  /* No link of /proc is followed: here they would lead elsewhere. */
  int parent = open_in(start, *to ? to : ".", O_PATH | O_DIRECTORY, RESOLVE_NO_MAGIC);
  close(start);
  if (parent < 0) return -1;
  if (**name && strcmp(*name, ".") != 0 && strcmp(*name, "..") != 0 && same_root(pid) && waits(job) && fstatfs(parent, &on) == 0 &&
      on.f_type == OVERLAYFS_SUPER_MAGIC)
    return parent;
  close(parent);
  return -1;
}

/* So long they may take to stand still (ms): one that waits for a disk does not before it has its answer. */
#define PATIENCE 30000
/* So long something may be in the way that may last: what cannot be stopped, or looked at, as a command that is just about to begin. */
#define PATIENCE_OTHERS 5000

/* What cannot be yet is tried for longer each time, and after a longer rest. */
static int growth(const struct job *job) { return job->tries < 4 ? job->tries : 4; }

/* Makes a directory renameable if it is not; 0 if it is to be asked again in a moment. */
static int prepare(struct job *job, int parent, const char *name) {
  for (;;) {
    atomic_store(&own->broken, 1);
    if (atomic_load(&own->wanted) > 0) {
      atomic_store(&own->broken, 0);
      job->since = still_clock();
      return 0;
    }
    int stand = still_begin(has_job, 20l << growth(job));
    int refused = stand > 0 && move_refused(parent, name);
    if (refused && job->warm && move_up(parent, name) < 0) stand = -1;
    still_end();
    atomic_store(&own->broken, 0);
    if (stand <= 0) return job->tries++, still_clock() - job->since > (stand < 0 ? PATIENCE_OTHERS : PATIENCE);
    if (!refused || job->warm) return 1;
    /* What takes long is done first, while all goes on. */
    move_warm(parent, name, waits, job);
    if (!waits(job)) return 1;
    job->warm = 1;
    job->since = still_clock();
  }
}

/* Whether a call could be looked after. */
static int perform(struct job *job) {
  char path[4096], *name;
  struct named named = names_of(&job->call.data);
  for (int i = 0, done = 1; i < named.count; i++) {
    int parent = above(job, named.at[i], named.path[i], path, sizeof path, &name);
    if (parent < 0) continue;
    done = prepare(job, parent, name);
    close(parent);
    if (!done) return 0;
  }
  go_on(job);
  return 1;
}

static void hear(int listener) {
  static union {
    struct seccomp_notif call;
    /* The kernel may tell more than we know of. */
    char bytes[1024];
  } heard;
  memset(&heard, 0, sizeof heard);
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &heard) < 0) return;
  struct job job = {.listener = listener, .call = heard.call, .since = still_clock()};
  if (jobs_count == jobs_room) {
    size_t room = jobs_room ? 2 * jobs_room : 16;
    struct job *more = realloc(jobs, room * sizeof *jobs);
    if (!more) return go_on(&job);
    jobs = more;
    jobs_room = room;
  }
  if (concerns_directory(&job)) jobs[jobs_count++] = job;
  else go_on(&job);
}

void renames_serve(void) {
  size_t count = 2, room = 2;
  struct pollfd *all = calloc(room, sizeof *all);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_SETMASK, &set, NULL);
  int children = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  struct rlimit most;
  if (!all || children < 0 || !own) _exit(1);
  /* Each command that runs has one that hears its calls. */
  if (getrlimit(RLIMIT_NOFILE, &most) == 0) {
    most.rlim_cur = most.rlim_max;
    setrlimit(RLIMIT_NOFILE, &most);
  }
  all[0] = (struct pollfd){.fd = children, .events = POLLIN};
  all[1] = (struct pollfd){.fd = COME, .events = POLLIN};
  for (;;) {
    still_collect();
    while (jobs_count > 0 && perform(&jobs[0])) memmove(jobs, jobs + 1, --jobs_count * sizeof *jobs);
    if (poll(all, count, jobs_count > 0 ? 2 << growth(jobs) : -1) < 0) continue;
    struct signalfd_siginfo about;
    if (all[0].revents)
      while (read(children, &about, sizeof about) == sizeof about) {
      }
    for (size_t i = count; i-- > 2;) {
      if (all[i].revents & POLLIN) hear(all[i].fd);
      else if (all[i].revents) {
        /* Nobody has this filter any more, nor has anybody a call that waits. */
        close(all[i].fd);
        all[i] = all[--count];
      }
    }
    int listener = all[1].revents ? next_listener() : -1;
    if (listener < 0) continue;
    if (count == room) {
      struct pollfd *more = realloc(all, 2 * room * sizeof *all);
      /* Calls that nobody hears are refused by the kernel. */
      if (!more) {
        close(listener);
        continue;
      }
      all = more;
      room *= 2;
    }
    /* The caller and we take turns, so one processor serves both better. Older kernels do without. */
    ioctl(listener, SET_NOTIF_FLAGS, (unsigned long)WAKE_HERE);
    all[count++] = (struct pollfd){.fd = listener, .events = POLLIN};
  }
}
