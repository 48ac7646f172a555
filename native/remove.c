/* Takes out what is in a directory, by a process of its own, since a large one takes long. */
#include "kernel.h"
#include "scope.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

/* Takes over `fd`. What is mounted somewhere in it stays, and so does what cannot be removed: whoever asked looks again. */
static void empty(int fd) {
  DIR *dir = fdopendir(fd);
  if (!dir) {
    close(fd);
    return;
  }
  const struct dirent *entry;
  while ((entry = readdir(dir))) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (entry->d_type != DT_DIR && (unlinkat(fd, name, 0) == 0 || errno != EISDIR)) continue;
    if (unlinkat(fd, name, AT_REMOVEDIR) == 0 || errno != ENOTEMPTY) continue;
    int below = open_in(fd, name, O_RDONLY | O_DIRECTORY, RESOLVE_NO_LINKS | RESOLVE_NO_MOUNTS);
    if (below < 0) continue;
    empty(below);
    unlinkat(fd, name, AT_REMOVEDIR);
  }
  closedir(dir);
}

pid_t remove_start(const char *path, struct failure *why) {
  int fd = open_without_links(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  pid_t helper = getpid();
  pid_t pid = fd < 0 ? -1 : fork();
  if (pid < 0) fail_errno(why, "%s cannot be emptied", path);
  if (pid == 0) {
    /* What is left when the helper ends is for who looks next. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() == helper) empty(fd);
    _exit(0);
  }
  if (fd >= 0) close(fd);
  return pid;
}
