/*
 * A directory that a layer below has becomes one that the upper layer alone has: a new one, made beside it, gets all that is in it by renames,
 * and takes its place. What is not a directory stays what it is, also for who has it open. All else in the sandbox stands still meanwhile.
 */
#include "renames.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* So deep may a tree be: each level holds descriptors, and a part of the stack. */
#define DEPTH_MOST 200

static int open_dir(int at, const char *name) { return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }

static void shut(int fd) {
  int error = errno;
  if (fd >= 0) close(fd);
  errno = error;
}

/* Works on each entry of a directory until one fails. */
static int for_each(int dir, int (*work)(int dir, const char *name, void *with), void *with) {
  int done = 0, own = open_dir(dir, ".");
  DIR *all = own < 0 ? NULL : fdopendir(own);
  if (!all) {
    shut(own);
    return -1;
  }
  for (const struct dirent *each; done == 0 && (each = readdir(all));)
    if (strcmp(each->d_name, ".") != 0 && strcmp(each->d_name, "..") != 0) done = work(dir, each->d_name, with);
  int error = errno;
  closedir(all);
  errno = error;
  return done;
}

/* Whether a directory has attributes that a new one in its place would lack. What a system labels all files with, it gives to new ones itself. */
static int is_special(int fd) {
  char names[4096];
  ssize_t got = flistxattr(fd, names, sizeof names);
  if (got < 0) return errno != ENOTSUP;
  for (ssize_t at = 0; at < got; at += (ssize_t)strlen(names + at) + 1)
    if (strncmp(names + at, "security.", 9) != 0) return 1;
  return 0;
}

/* Gives a directory the mode and the times that another one had; fails if it cannot be like that. */
static int dress(int fd, const struct stat *like) {
  struct timespec times[2] = {like->st_atim, like->st_mtim};
  struct stat is;
  if (fchmod(fd, like->st_mode & 07777) < 0 || futimens(fd, times) < 0 || fstat(fd, &is) < 0) return -1;
  errno = EPERM;
  return is.st_mode == like->st_mode && is.st_uid == like->st_uid && is.st_gid == like->st_gid ? 0 : -1;
}

struct into {
  int dir, depth;
};

static int shift(int from, const char *name, void *with);

/* A new directory `as` in `to` gets all that `name` in `from` has, and that goes; where both are one it takes its place. */
static int remake(int from, const char *name, int to, const char *as, const struct stat *about, int depth) {
  int old = open_dir(from, name), made = -1, done = -1;
  errno = ENAMETOOLONG;
  if (old < 0 || depth > DEPTH_MOST || mkdirat(to, as, 0700) < 0) goto end;
  if ((made = open_dir(to, as)) >= 0) {
    struct into there = {made, depth}, back = {old, depth};
    errno = EPERM;
    if (!is_special(old) && !is_special(made) && for_each(old, shift, &there) == 0 && dress(made, about) == 0)
      done = from == to ? renameat(to, as, from, name) : unlinkat(from, name, AT_REMOVEDIR);
    if (done == 0) goto end;
    /* What cannot be given back stays where it is. */
    fchmod(made, 0700);
    for_each(made, shift, &back);
    dress(old, about);
  }
  unlinkat(to, as, AT_REMOVEDIR);
end:
  shut(made);
  shut(old);
  return done;
}

static int shift(int from, const char *name, void *with) {
  const struct into *into = with;
  struct stat about;
  if (fstatat(from, name, &about, AT_SYMLINK_NOFOLLOW) < 0) return -1;
  if (!S_ISDIR(about.st_mode)) return renameat(from, name, into->dir, name);
  /* One that its owner has closed to himself is open to him meanwhile. */
  mode_t mode = about.st_mode & 07777;
  int closed = (mode & 0700) != 0700;
  if (closed && fchmodat(from, name, mode | 0700, 0) < 0) return -1;
  if (renameat(from, name, into->dir, name) == 0) return closed ? fchmodat(into->dir, name, mode, 0) : 0;
  if (errno == EXDEV && remake(from, name, into->dir, name, &about, into->depth + 1) == 0) return 0;
  if (closed) fchmodat(from, name, mode, 0);
  return -1;
}

/* A name that nobody else has. */
static int temporary(char *name, size_t room) {
  unsigned long long number;
  if (getrandom(&number, sizeof number, 0) != sizeof number) return -1;
  snprintf(name, room, ".shepherd-renamed-%016llx", number);
  return 0;
}

int move_refused(int parent, const char *name) {
  char other[64];
  struct stat about;
  if (fstatat(parent, ".", &about, 0) < 0 || temporary(other, sizeof other) < 0 || mkdirat(parent, other, 0700) < 0) return 0;
  int dir = open_dir(parent, other);
  /* First the kernel looks at what is renamed, then whether what is to be replaced is empty. */
  int refused = dir >= 0 && mkdirat(dir, "full", 0700) == 0 && renameat(parent, name, parent, other) < 0 && errno == EXDEV;
  if (dir >= 0) unlinkat(dir, "full", AT_REMOVEDIR);
  shut(dir);
  unlinkat(parent, other, AT_REMOVEDIR);
  struct timespec times[2] = {about.st_atim, about.st_mtim};
  utimensat(parent, ".", times, 0);
  return refused;
}

int move_up(int parent, const char *name) {
  char other[64];
  struct stat about, above;
  if (fstatat(parent, name, &about, AT_SYMLINK_NOFOLLOW) < 0 || fstatat(parent, ".", &above, 0) < 0) return 0;
  if (!S_ISDIR(about.st_mode) || temporary(other, sizeof other) < 0) return 0;
  mode_t mode = about.st_mode & 07777;
  int closed = (mode & 0700) != 0700;
  if (closed && fchmodat(parent, name, mode | 0700, 0) < 0) return 0;
  int dir = open_dir(parent, name), inside = dir < 0 ? 1 : still_inside(dir);
  shut(dir);
  if ((inside || remake(parent, name, parent, other, &about, 0) < 0) && closed) fchmodat(parent, name, mode, 0);
  struct timespec times[2] = {above.st_atim, above.st_mtim};
  utimensat(parent, ".", times, 0);
  return inside < 0 ? -1 : 0;
}

struct warming {
  int (*waits)(const void *);
  const void *who;
  unsigned count, depth;
};

static int warm(int dir, const char *name, void *with) {
  struct warming *warming = with;
  struct stat about;
  if (++warming->count % 64 == 0 && !warming->waits(warming->who)) return -1;
  if (fstatat(dir, name, &about, AT_SYMLINK_NOFOLLOW) < 0) return 0;
  /* It changes nothing, but the kernel copies a file before it changes an attribute. It would take these bits from it. */
  if (!S_ISDIR(about.st_mode)) return about.st_mode & 06000 ? 0 : (fchownat(dir, name, (uid_t)-1, (gid_t)-1, AT_SYMLINK_NOFOLLOW), 0);
  int below = warming->depth < DEPTH_MOST ? open_dir(dir, name) : -1;
  if (below < 0) return 0;
  warming->depth++;
  int done = for_each(below, warm, warming);
  warming->depth--;
  close(below);
  return done;
}

void move_warm(int parent, const char *name, int (*waits)(const void *), const void *who) {
  struct warming warming = {.waits = waits, .who = who};
  warm(parent, name, &warming);
}
