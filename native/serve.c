/*
 * The helper of one owner: makes sandboxes as it is told, and takes them down with itself.
 *
 *   ID open PORT [renames] INSTRUCTION…   ID ok PID, or ID error SENTENCE; PORT 0: the network of the host; renames: it looks after
 *                               those of directories in overlays (renames.c). The server that listens on PORT
 *                               of the sandbox's own network comes over Node's channel before, as {"id": ID}
 *   ID quiet PID COUNT          ID ok, or ID busy while renames are looked after in that sandbox: they begin again once COUNT is 0
 *   ID end PID                  ID ok, once nothing of that sandbox is left
 *   ID overlay AT UPPER WORK LOWER…   ID ok, once AT shows all as one, the first LOWER over the next and UPPER over all, in the
 *                               mounts of the helper and of sandboxes made from then on
 *   ID unmount AT               ID ok
 *   ID changed SINCE PATH       ID ok ENTRY…, what below PATH has a stamp since then (ns since 1970), and the directories above it, by
 *                               their paths in PATH; with 0 all directories. Of many words some come before, as ID more ENTRY…
 * Unasked it tells: 0 ended PID, of a sandbox whose process 1 is gone.
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
#include <sys/wait.h>
#include <unistd.h>

/* Sandboxes whose end somebody waits for, and the words by which they asked. */
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
  struct ending *more = malloc(sizeof *more);
  if (!more) _exit(1);
  more->pid = (pid_t)pid;
  snprintf(more->id, sizeof more->id, "%s", id);
  more->next = endings;
  endings = more;
  kill((pid_t)pid, SIGKILL);
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
  while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
    size_t at = find(pid);
    if (at == started_count) continue;
    renames_quiet_end(started[at].quiet);
    started[at] = started[--started_count];
    char text[16];
    snprintf(text, sizeof text, "%d", pid);
    wire_send(1, "0", "ended", text, NULL);
    for (struct ending **each = &endings; *each;) {
      struct ending *this = *each;
      if (this->pid != pid) {
        each = &this->next;
        continue;
      }
      wire_send(1, this->id, "ok", NULL);
      *each = this->next;
      free(this);
    }
  }
}

static void told(const struct words *words, int done, const struct failure *why) {
  if (done < 0) wire_send(1, words->word[0], "error", why->text, NULL);
  else wire_send(1, words->word[0], "ok", NULL);
}

static int handle(const struct words *words, int channel, char *name, size_t room) {
  struct failure why = {{0}};
  unsigned long id;
  if (words->count < 2 || number(words->word[0], 1ul << 53, &id) < 0 || strlen(words->word[0]) > 16) return -1;
  if (strcmp(words->word[1], "open") == 0) open_one(words, channel, name, room);
  else if (strcmp(words->word[1], "end") == 0) end_one(words);
  else if (strcmp(words->word[1], "quiet") == 0) quiet_one(words);
  else if (strcmp(words->word[1], "overlay") == 0 && words->count >= 6)
    told(words, overlay_mount(words, 2, &why), &why);
  else if (strcmp(words->word[1], "unmount") == 0 && words->count == 3) told(words, overlay_unmount(words->word[2], &why), &why);
  else if (strcmp(words->word[1], "changed") == 0 && words->count == 4) {
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
  wire_send(1, "0", "ready", argc > 4 && renames_try() ? "renames" : NULL, NULL);
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
