/*
 * The helper of one owner: makes sandboxes as it is told, and takes them down with itself.
 *
 *   ID open PORT [renames] INSTRUCTION…   ID ok PID, or ID error SENTENCE; PORT 0: the network of the host; renames: it looks after
 *                               those of directories in overlays (renames.c). The server that listens on PORT
 *                               of the sandbox's own network comes over Node's channel before, as {"id": ID}
 *   ID quiet PID COUNT          ID ok, or ID busy while renames are looked after in that sandbox: they begin again once COUNT is 0
 *   ID end PID                  ID ok, once nothing of that sandbox is left
 *   ID run PID FD0 … FD4 [PROGRAM ARGUMENT…]   ID began PID, then ID ok CODE SIGNAL once it has ended. It runs in the sandbox PID, with
 *                               these descriptors of the process that is served (or `-`); without PROGRAM what descriptor 3 says (see enter.c)
 *   ID overlay AT UPPER WORK LOWER…   ID ok, once AT shows all as one, the first LOWER over the next and UPPER over all, in the
 *                               mounts of the helper and of sandboxes made from then on
 *   ID unmount AT               ID ok
 *   ID changed SINCE PATH       ID ok ENTRY…, what below PATH has a stamp since then (ns since 1970), by their paths in PATH, in no order; with
 *                               0 all directories. Of many words some come before, as ID more ENTRY…
 *   ID fifos PATH…              ID ok, once there is a pipe at each, for its user alone
 *   ID remove PATH              ID ok, once it has tried to take out all that is in PATH
 *   ID spread PATH              ID ok, once directories that are made in PATH lie apart on the disk
 * Unasked it tells: 0 ready VERSION [run|renames], that it works, the version of the kernel's Landlock (0: none that fits), and whether it can run programs
 * itself, as root, or look after renames, as an ordinary user; 0 ended PID, of a sandbox whose process 1 is gone.
 */
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Processes whose end somebody waits for, and the words by which they asked. */
struct ending {
  pid_t pid;
  char id[32];
  struct ending *next;
};
static struct ending *endings;

static int number(const char *text, unsigned long most, unsigned long *into) {
  char *end;
  errno = 0;
  if (*text < '0' || *text > '9') return -1;
  *into = strtoul(text, &end, 10);
  return errno || *end || *into > most ? -1 : 0;
}

/* Only what it has started itself is its to end. */
static struct started {
  pid_t pid;
  struct quiet *quiet;
} *started;
static size_t started_count, started_room;

static int remember(const struct holder *holder) {
  if (started_count == started_room) {
    size_t room = started_room ? 2 * started_room : 16;
    struct started *grown = realloc(started, room * sizeof *started);
    if (!grown) return -1;
    started = grown;
    started_room = room;
  }
  started[started_count++] = (struct started){holder->pid, holder->quiet};
  return 0;
}

static size_t find(pid_t pid) {
  size_t at = 0;
  while (at < started_count && started[at].pid != pid) at++;
  return at;
}

static void open_one(const struct words *words, int channel, char *name, size_t room) {
  struct failure why = {{0}};
  struct holder holder;
  unsigned long port;
  const char *id = words->word[0];
  if (words->count < 3 || number(words->word[2], 65535, &port) < 0) {
    wire_send(1, id, "error", "open takes a port, and instructions", NULL);
    return;
  }
  int renames = words->count > 3 && strcmp(words->word[3], "renames") == 0;
  if (renames && !renames_possible()) {
    wire_send(1, id, "error", "Renames cannot be looked after here", NULL);
    return;
  }
  if (hold_start(words, renames ? 4 : 3, (unsigned)port, renames, name, room, &holder, &why) < 0) {
    wire_send(1, id, "error", why.text, NULL);
    return;
  }
  char pid[16];
  snprintf(pid, sizeof pid, "%d", holder.pid);
  int handed = holder.listener < 0 ? 0 : net_hand_over(channel, holder.listener, id);
  if (holder.listener >= 0) close(holder.listener);
  if (handed < 0 || remember(&holder) < 0) {
    kill(holder.pid, SIGKILL);
    waitpid(holder.pid, NULL, 0);
    renames_quiet_end(holder.quiet);
    wire_send(1, id, "error", "The sandbox has no way to its gateway", NULL);
    return;
  }
  wire_send(1, id, "ok", pid, NULL);
}

static void await_end(pid_t pid, const char *id) {
  struct ending *more = malloc(sizeof *more);
  if (!more) _exit(1);
  more->pid = pid;
  snprintf(more->id, sizeof more->id, "%s", id);
  more->next = endings;
  endings = more;
}

static void end_one(const struct words *words) {
  unsigned long pid;
  const char *id = words->word[0];
  if (words->count != 3 || number(words->word[2], 1ul << 30, &pid) < 0) {
    wire_send(1, id, "error", "end takes the number of a process", NULL);
    return;
  }
  if (find((pid_t)pid) == started_count) {
    wire_send(1, id, "ok", NULL);
    return;
  }
  await_end((pid_t)pid, id);
  kill((pid_t)pid, SIGKILL);
}

static void run_one(struct words *words) {
  struct failure why = {{0}};
  unsigned long holder, fd;
  const char *id = words->word[0];
  int wrong = words->count < 3 + RUN_HELD || number(words->word[2], 1ul << 30, &holder) < 0 || find((pid_t)holder) == started_count;
  for (size_t i = 3; !wrong && i < 3 + RUN_HELD; i++) wrong = strcmp(words->word[i], "-") != 0 && number(words->word[i], 1 << 20, &fd) < 0;
  if (wrong) {
    wire_send(1, id, "error", "The sandbox has ended", NULL);
    return;
  }
  pid_t pid = run_start((pid_t)holder, words->word + 3, words->word + 3 + RUN_HELD, &why);
  if (pid < 0) {
    wire_send(1, id, "error", why.text, NULL);
    return;
  }
  char text[16];
  snprintf(text, sizeof text, "%d", pid);
  await_end(pid, id);
  wire_send(1, id, "began", text, NULL);
}

static void quiet_one(const struct words *words) {
  unsigned long pid, wanted;
  if (words->count != 4 || number(words->word[2], 1ul << 30, &pid) < 0 || number(words->word[3], 1 << 20, &wanted) < 0) {
    wire_send(1, words->word[0], "error", "quiet takes the number of a process, and how many want it", NULL);
    return;
  }
  size_t at = find((pid_t)pid);
  int quiet = at == started_count || !started[at].quiet || renames_want(started[at].quiet, (int)wanted);
  wire_send(1, words->word[0], quiet ? "ok" : "busy", NULL);
}

static void reap(void) {
  pid_t pid;
  int status;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    char code[16], signal[16];
    snprintf(code, sizeof code, "%d", WIFEXITED(status) ? WEXITSTATUS(status) : 0);
    snprintf(signal, sizeof signal, "%d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    size_t at = find(pid);
    if (at < started_count) {
      renames_quiet_end(started[at].quiet);
      started[at] = started[--started_count];
      char text[16];
      snprintf(text, sizeof text, "%d", pid);
      wire_send(1, "0", "ended", text, NULL);
    }
    for (struct ending **each = &endings; *each;) {
      struct ending *this = *each;
      if (this->pid != pid) {
        each = &this->next;
        continue;
      }
      wire_send(1, this->id, "ok", code, signal, NULL);
      *each = this->next;
      free(this);
    }
  }
}

static void told(const struct words *words, int done, const struct failure *why) {
  if (done < 0) wire_send(1, words->word[0], "error", why->text, NULL);
  else wire_send(1, words->word[0], "ok", NULL);
}

static void fifos(const struct words *words) {
  struct failure why = {{0}};
  for (size_t i = 2; i < words->count; i++)
    if (mkfifo(words->word[i], 0600) < 0) {
      fail_errno(&why, "No pipe can be made at %s", words->word[i]);
      wire_send(1, words->word[0], "error", why.text, NULL);
      return;
    }
  wire_send(1, words->word[0], "ok", NULL);
}

static int handle(struct words *words, int channel, char *name, size_t room) {
  struct failure why = {{0}};
  unsigned long id;
  if (words->count < 2 || number(words->word[0], 1ul << 53, &id) < 0 || strlen(words->word[0]) > 16) return -1;
  if (strcmp(words->word[1], "open") == 0) open_one(words, channel, name, room);
  else if (strcmp(words->word[1], "end") == 0) end_one(words);
  else if (strcmp(words->word[1], "run") == 0) run_one(words);
  else if (strcmp(words->word[1], "fifos") == 0) fifos(words);
  else if (strcmp(words->word[1], "quiet") == 0) quiet_one(words);
  else if (strcmp(words->word[1], "overlay") == 0 && words->count >= 6)
    told(words, overlay_mount(words, 2, &why), &why);
  else if (strcmp(words->word[1], "unmount") == 0 && words->count == 3) told(words, overlay_unmount(words->word[2], &why), &why);
  else if (strcmp(words->word[1], "spread") == 0 && words->count == 3) told(words, spread(words->word[2], &why), &why);
  else if (strcmp(words->word[1], "remove") == 0 && words->count == 3) {
    pid_t pid = remove_start(words->word[2], &why);
    if (pid < 0) told(words, -1, &why);
    else await_end(pid, words->word[0]);
  } else if (strcmp(words->word[1], "changed") == 0 && words->count == 4) {
    unsigned long since;
    if (number(words->word[2], LONG_MAX, &since) < 0) wire_send(1, words->word[0], "error", "changed takes a time, and a path", NULL);
    else if (changed_since(words->word[0], words->word[3], (long long)since, &why) < 0) told(words, -1, &why);
  } else wire_send(1, words->word[0], "error", "That is no request", NULL);
  return 0;
}

/* serve NAME PARENT [userns]: NAME is room for the name of the first process of a sandbox. */
int serve(int argc, char **argv) {
  if (argc < 4) return 2;
  char *name = argv[2];
  size_t room = strlen(name) + 1;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != atoi(argv[3])) return 1;
  signal(SIGPIPE, SIG_IGN);
  int channel = -1;
  const char *given = getenv("NODE_CHANNEL_FD");
  if (given) {
    channel = atoi(given);
    fcntl(channel, F_SETFD, FD_CLOEXEC);
    fcntl(channel, F_SETFL, fcntl(channel, F_GETFL) | O_NONBLOCK);
  }
  struct failure why = {{0}};
  if (argc > 4 && enter_user_namespace(&why) < 0) {
    wire_send(1, "0", "error", why.text, NULL);
    return 1;
  }
  if (own_mounts(&why) < 0) {
    wire_send(1, "0", "error", why.text, NULL);
    return 1;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  int signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) return 1;
  char version[16];
  snprintf(version, sizeof version, "%d", wall_version());
  const char *able = argc > 4 ? (renames_try() ? "renames" : NULL) : run_prepare(getppid()) == 0 ? "run" : NULL;
  wire_send(1, "0", "ready", version, able, NULL);
  struct pollfd ready[] = {{.fd = 0, .events = POLLIN}, {.fd = signals, .events = POLLIN}, {.fd = channel, .events = POLLIN}};
  for (;;) {
    if (poll(ready, 3, -1) < 0 && errno != EINTR) return 1;
    if (ready[1].revents) {
      struct signalfd_siginfo about;
      while (read(signals, &about, sizeof about) == sizeof about) {
      }
    }
    reap();
    if (ready[2].revents) {
      char thanks[4096];
      ssize_t got = read(channel, thanks, sizeof thanks);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return 0;
    }
    if (!ready[0].revents) continue;
    if (wire_read(0) != 1) return 0;
    struct words words;
    int next;
    while ((next = wire_next(&words)) == 1)
      if (handle(&words, channel, name, room) < 0) return 1;
    if (next < 0) return 1;
  }
}
