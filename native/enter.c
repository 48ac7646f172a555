/*
 * enter [session] [renames PID] [GRANT…] FILE… -- PROGRAM ARGUMENTS…: runs a program in the namespaces that these files are, in their order; the last is
 *   the one of processes. With grants (see native/wall.c) it runs behind Landlock. Of the processes PID is the first, by its number outside: it looks
 *   after renames.
 * enter kill FILE… --: kills all that runs in them, but for the first process; ends with 0 once nothing of it is left.
 * enter [session] [renames PID] [GRANT…] FILE… --: runs what descriptor 3 says: words, each ended by a zero byte: the directory to start in, the number of variables,
 *   the variables, the program, its arguments. The program is looked for on the PATH among the variables, and has descriptors 0 to 2 alone.
 *   To descriptor 4 it writes `s` once it starts, or `c` where there is no such directory.
 */
#include "scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int give_up(const char *text) {
  dprintf(2, "%s\n", text);
  return 126;
}

/* Ends as the program does, stops where it stops, and goes on with it. */
static int follow(pid_t child) {
  /* On a terminal it is of the command's process group, and what goes to that is the command's to take. */
  for (int each = 1; each < NSIG; each++)
    if (each != SIGCHLD && each != SIGCONT && each != SIGTSTP && each != SIGTTIN && each != SIGTTOU) signal(each, SIG_IGN);
  for (;;) {
    int status;
    if (waitpid(child, &status, WUNTRACED) < 0) {
      if (errno == EINTR) continue;
      return 126;
    }
    if (WIFSTOPPED(status)) {
      kill(getpid(), SIGSTOP);
      kill(child, SIGCONT);
      continue;
    }
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(WTERMSIG(status), SIG_DFL);
    kill(getpid(), WTERMSIG(status));
    return 128 + WTERMSIG(status);
  }
}

/* What stands in a file, and a zero byte behind it. */
static char *contents(int fd, size_t *length) {
  struct stat about;
  if (fstat(fd, &about) < 0 || about.st_size > 64 << 20) return NULL;
  char *text = malloc((size_t)about.st_size + 1);
  size_t at = 0;
  for (ssize_t got; text && at < (size_t)about.st_size; at += (size_t)got)
    if ((got = pread(fd, text + at, (size_t)about.st_size - at, (off_t)at)) <= 0) return NULL;
  if (text) text[at] = 0;
  *length = at;
  return text;
}

static int launch(void) {
  size_t length, count = 0;
  char *text = contents(3, &length);
  if (!text) return give_up("What is to be started cannot be read.");
  for (size_t i = 0; i < length; i++) count += text[i] == 0;
  char **word = malloc((count + 3) * sizeof *word);
  if (!word) return give_up("There is no memory for what is to be started.");
  /* The list of variables ends with NULL, too, so all behind it stands one further. */
  size_t variables = 0, n = 0;
  for (size_t at = 0; at < length; at += strlen(text + at) + 1) {
    if (n == 1) {
      variables = strtoul(text + at, NULL, 10);
      if (variables > count) return give_up("What is to be started is not whole.");
    }
    if (n == variables + 2 && n >= 2) word[n++] = NULL;
    word[n++] = text + at;
  }
  if (n < variables + 4) return give_up("What is to be started is not whole.");
  word[n] = NULL;
  char **program = word + variables + 3;
  if (chdir(word[0]) < 0) {
    if (write(4, "c", 1) < 0) return 126;
    return 125;
  }
  if (write(4, "s", 1) < 0) return 126;
  close(3);
  close(4);
  environ = word + 2;
  execvp(program[0], program);
  int code = errno == ENOENT ? 127 : 126;
  dprintf(2, "%s: %s\n", program[0], strerror(errno));
  return code;
}

int become(int session, int way, char *const *grants, size_t granted, char **program) {
  struct failure why = {{0}};
  int listener = -1;
  if (session) setsid();
  /* What Node's parent left open may lead out of the sandbox, and what runs there may look at this process once it is a program. */
  if (way >= 0 && (way = dup2(way, 5)) < 0) return give_up("The sandbox has ended.");
  close_from(way < 0 ? 5 : 6);
  if (drop_privileges(&why) < 0 || (granted > 0 && wall(grants, granted, &why) < 0) || drop_syscalls(way < 0 ? NULL : &listener, &why) < 0)
    return give_up(why.text);
  if (way >= 0 && renames_hand_over(way, listener, &why) < 0) return give_up(why.text);
  if (!*program) return launch();
  execv(program[0], program);
  fail_errno(&why, "%s cannot be started", program[0]);
  return give_up(why.text);
}

/* Whether a process still runs: one that has ended waits for its parent, wherever that is. */
static int runs(const char *number) {
  char path[64], text[512], *state;
  snprintf(path, sizeof path, "/proc/%.20s/stat", number);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (got <= 0) return 0;
  text[got] = 0;
  state = strrchr(text, ')');
  return state && state[1] == ' ' && !strchr("ZXx", state[2]);
}

static int kill_all(void) {
  char self[16];
  snprintf(self, sizeof self, "%d", getpid());
  for (int tries = 0; tries < 500; tries++) {
    if (kill(-1, SIGKILL) < 0) return errno == ESRCH ? 0 : 1;
    int left = 0;
    DIR *all = opendir("/proc");
    if (!all) return 1;
    for (struct dirent *each; (each = readdir(all));)
      if (each->d_name[0] >= '1' && each->d_name[0] <= '9' && strcmp(each->d_name, "1") != 0 && strcmp(each->d_name, self) != 0)
        left |= runs(each->d_name);
    closedir(all);
    if (!left) return 0;
    usleep(10000);
  }
  return 1;
}

int enter(int argc, char **argv) {
  struct failure why = {{0}};
  int session = 0, ends = 0, at = 2, way = -1;
  const char *renames = NULL;
  /* Stopped with its command it would stay behind for ever. What stands below fails if its parent is gone already. */
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  int namespaces[16], count = 0;
  if (at < argc && strcmp(argv[at], "session") == 0) session = 1, at++;
  else if (at < argc && strcmp(argv[at], "kill") == 0) ends = 1, at++;
  if (at + 1 < argc && strcmp(argv[at], "renames") == 0) renames = argv[at + 1], at += 2;
  char **grants = argv + at;
  size_t granted = 0;
  for (; at < argc && (*argv[at] == '+' || *argv[at] == '~'); at++) granted++;
  /* All are opened first: the files are not seen from inside. */
  for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
    if (count == 16) return give_up("Too many namespaces are named.");
    if ((namespaces[count++] = open(argv[at], O_RDONLY | O_CLOEXEC)) < 0) return give_up("The sandbox has ended.");
  }
  if (at == argc || count == 0) return give_up("enter takes namespaces, and a program.");
  at++;
  if (renames && (way = renames_way(renames, namespaces[count - 1], &why)) < 0) return give_up(why.text);
  for (int i = 0; i < count; i++) {
    if (setns(namespaces[i], 0) < 0) {
      fail_errno(&why, "The sandbox cannot be entered");
      return give_up(why.text);
    }
    close(namespaces[i]);
  }
  /* Entering may have undone it. */
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  pid_t child = fork();
  if (child < 0) return give_up("No process can be started.");
  if (child > 0) return follow(child);
  if (ends) {
    close_from(3);
    return drop_privileges(&why) < 0 || drop_syscalls(NULL, &why) < 0 ? give_up(why.text) : kill_all();
  }
  return become(session, way, grants, granted, argv + at);
}
