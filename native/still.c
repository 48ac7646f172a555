/*
 * All that runs in a sandbox stands still for a moment. Process 1 traces each thread for so long: a signal would be seen by who waits for a
 * process (a shell would take it for stopped), would not tell those that the user has stopped from others, and a control group needs rights.
 */
#include "renames.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int still_possible(void) {
  pid_t child = fork();
  if (child == 0)
    for (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);;) pause();
  int done = child > 0 && ptrace(PTRACE_SEIZE, child, NULL, NULL) == 0;
  if (child > 0) {
    kill(child, SIGKILL);
    waitpid(child, NULL, __WALL);
  }
  return done;
}

/* The threads that are traced: what they do not get to know of yet is given to them when they go on. */
struct traced {
  pid_t tid;
  int stands, signal;
};
static struct traced *all;
static size_t count, room;
static int holding;

long still_clock(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* The letter of its state; 0 if there is none such. */
static char state_of(pid_t tid) {
  char path[32], text[512], *end;
  snprintf(path, sizeof path, "/proc/%d/stat", tid);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  size_t got = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[got] = 0;
  end = strrchr(text, ')');
  return end && end[1] ? end[2] : 0;
}

/* Whether it has ended, though perhaps nobody has taken note of that yet. */
static int has_ended(pid_t tid) {
  char state = state_of(tid);
  return state == 0 || state == 'Z' || state == 'X';
}

static size_t find(pid_t tid) {
  size_t at = 0;
  while (at < count && all[at].tid != tid) at++;
  return at;
}

static void let_go(size_t at) {
  ptrace(PTRACE_DETACH, all[at].tid, NULL, (void *)(long)all[at].signal);
  all[at] = all[--count];
}

void still_collect(void) {
  int status;
  for (pid_t tid; (tid = waitpid(-1, &status, WNOHANG | __WALL)) > 0;) {
    size_t at = find(tid);
    if (at == count) continue;
    if (!WIFSTOPPED(status)) {
      all[at] = all[--count];
      continue;
    }
    all[at].stands = 1;
    all[at].signal = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
    if (!holding) let_go(at);
  }
}

/* Works on each thread of the sandbox until that gives something else than 0, and tells it. */
static int for_each(int (*work)(pid_t tid, void *with), void *with) {
  DIR *processes = opendir("/proc");
  int done = processes ? 0 : -1;
  for (const struct dirent *each; done == 0 && (each = readdir(processes));) {
    pid_t pid = atoi(each->d_name);
    char path[32];
    if (pid <= 1) continue;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads && errno != ENOENT && errno != ESRCH) done = -1;
    while (threads && done == 0 && (each = readdir(threads)))
      if (atoi(each->d_name) > 0) done = work(atoi(each->d_name), with);
    if (threads) closedir(threads);
  }
  if (processes) closedir(processes);
  return done;
}

struct seizing {
  int (*waits)(pid_t);
  /* How many were not traced before, and how many could not be. */
  int found, failed;
};

/*
 * One that is about to become another program is seized behind that, which waits for its other threads to be gone; of those that are traced the
 * kernel waits until their end is taken note of.
 */
static void take_note(int signal) {
  (void)signal;
  int error = errno;
  still_collect();
  errno = error;
}

static int seize_one(pid_t tid) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  /* What is told from here on is told by the signal. */
  still_collect();
  sigprocmask(SIG_UNBLOCK, &child, NULL);
  int done = ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0 ? -1 : 0, error = errno;
  sigprocmask(SIG_BLOCK, &child, NULL);
  errno = error;
  return done;
}

static int seize(pid_t tid, void *with) {
  struct seizing *seizing = with;
  /* Who waits for an answer of ours does nothing before it has it, and could not be let go. */
  if (find(tid) < count || seizing->waits(tid)) return 0;
  if (count == room) {
    size_t more = room ? 2 * room : 64;
    struct traced *grown = realloc(all, more * sizeof *all);
    if (!grown) return -1;
    all = grown;
    room = more;
  }
  /* One that the user has stopped tells that it stands before this is done. */
  all[count++] = (struct traced){.tid = tid};
  int seized = seize_one(tid);
  /* One that we trace already has got the number of another one, as a program that a thread starts does. */
  if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0 || seized == 0) {
    seizing->found++;
    return 0;
  }
  size_t at = find(tid);
  if (at < count) all[at] = all[--count];
  /* Somebody else traces it, such as a debugger; or it is just about to be another program. */
  if (!has_ended(tid)) seizing->failed++;
  return 0;
}

/* How many do not stand yet: they are in the midst of a call, or wait for one that stands, as who starts a program may until that has begun. */
static size_t moving(void) {
  size_t sum = 0;
  for (size_t at = count; at-- > 0;) {
    if (all[at].stands) continue;
    /* A program that a thread starts takes the place of all others of its process, and the number of the first; nobody tells of them. */
    if (ptrace(PTRACE_INTERRUPT, all[at].tid, NULL, NULL) < 0) all[at] = all[--count];
    else sum++;
  }
  return sum;
}

static void rest(long ms) {
  sigset_t child;
  struct timespec time = {.tv_nsec = ms * 1000000};
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigtimedwait(&child, NULL, &time);
}

void still_end(void) {
  holding = 0;
  for (size_t at = count; at-- > 0;)
    if (all[at].stands) let_go(at);
}

int still_begin(int (*waits)(pid_t), long window) {
  struct sigaction action = {.sa_handler = take_note, .sa_flags = SA_RESTART};
  sigaction(SIGCHLD, &action, NULL);
  holding = 1;
  for (long until = still_clock() + window;;) {
    struct seizing seizing = {.waits = waits};
    if (for_each(seize, &seizing) < 0) break;
    while (still_collect(), moving() > 0 && still_clock() < until) rest(1);
    if (moving() == 0 && seizing.found == 0 && seizing.failed == 0) return 1;
    if (still_clock() >= until) return seizing.failed == 0 ? 0 : -1;
    if (seizing.failed > 0) rest(1);
  }
  return -1;
}

struct place {
  const char *path;
  size_t length;
};

static int leads_inside(const struct place *place, const char *link) {
  char to[8192];
  struct stat about;
  ssize_t got = readlink(link, to, sizeof to);
  if (got < 0) return errno == ENOENT || errno == ESRCH ? 0 : -1;
  /* Of a path that is too long to be told nothing is known. */
  if (got == (ssize_t)sizeof to) return -1;
  if (got < (ssize_t)place->length || memcmp(to, place->path, place->length) != 0) return 0;
  if (got > (ssize_t)place->length && to[place->length] != '/') return 0;
  return stat(link, &about) == 0 && S_ISDIR(about.st_mode);
}

static int stands_in(pid_t tid, void *with) {
  char path[64];
  int done = 0;
  snprintf(path, sizeof path, "/proc/%d/cwd", tid);
  if ((done = leads_inside(with, path)) != 0) return done;
  snprintf(path, sizeof path, "/proc/%d/root", tid);
  if ((done = leads_inside(with, path)) != 0) return done;
  snprintf(path, sizeof path, "/proc/%d/fd", tid);
  DIR *open = opendir(path);
  /* Of one that has ended that is closed. */
  if (!open) return has_ended(tid) ? 0 : -1;
  for (const struct dirent *each; done == 0 && (each = readdir(open));) {
    snprintf(path, sizeof path, "/proc/%d/fd/%.16s", tid, each->d_name);
    if (each->d_name[0] != '.') done = leads_inside(with, path);
  }
  closedir(open);
  return done;
}

int still_inside(int dir) {
  char link[32], path[8192];
  snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
  ssize_t got = readlink(link, path, sizeof path);
  if (got <= 0 || got == (ssize_t)sizeof path) return -1;
  struct place place = {.path = path, .length = (size_t)got};
  return for_each(stands_in, &place);
}
