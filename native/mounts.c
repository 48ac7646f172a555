/*
 * What a sandbox sees, made by a list of instructions. Nothing here decides what that is: see src/scope/exec/view.ts.
 *
 *   take FROM                 opens a directory or file of the host before anything is covered, and follows no link; it is the next
 *                             of the taken
 *   lock                      all that is there becomes read-only, and no device in it can be opened
 *   root NUMBER               what was taken becomes the root; the host is gone once all instructions are done
 *   point AT REST dir|file    makes a mount point below AT, and follows no link on the way
 *   put NUMBER AT rw|ro[+dev] shows what was taken at AT; with `+dev` its devices can be opened
 *   bind FROM AT rw|ro        shows FROM, as it is seen now, at AT
 *   tmpfs AT SIZE MODE FLAGS  an empty directory; FLAGS of `r` (read-only) and `x` (no programs), or `-`
 *   proc AT                   the processes of this namespace
 *   pts AT                    terminals of its own
 *   link AT NAME TO           a symbolic link in a directory of the sandbox's own
 *   seal AT                   the mount at AT becomes read-only
 */
#include "kernel.h"
#include "scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define TAKEN_MOST 256

static int taken[TAKEN_MOST];
static size_t taken_count;

/* The place of a mount, which no link may lead to. */
static int place(const char *at, struct failure *why) {
  int fd = open_without_links(AT_FDCWD, at, O_PATH);
  if (fd >= 0) return fd;
  if (errno == ELOOP) return fail(why, "Nothing can be shown at %s: there is a symbolic link in it", at);
  return fail_errno(why, "Nothing can be shown at %s", at);
}

static int attach(int tree, const char *at, struct failure *why) {
  int to = place(at, why);
  if (to < 0) return -1;
  int done = mount_move(tree, to);
  if (done < 0) fail_errno(why, "Nothing can be shown at %s", at);
  close(to);
  return done;
}

static int show(int tree, const char *at, const char *mode, struct failure *why) {
  struct mount_attributes held = {.set = (strncmp(mode, "rw", 2) == 0 ? 0 : ATTR_RDONLY) | (strstr(mode, "+dev") ? 0 : ATTR_NODEV)};
  if (mount_set(tree, "", EMPTY_PATH | TREE_RECURSIVE, &held) < 0) return fail_errno(why, "%s cannot be held as it must be", at);
  return attach(tree, at, why);
}

static int take(const char *from, struct failure *why) {
  if (taken_count == TAKEN_MOST) return fail(why, "Too many paths are to be shown");
  int there = open_without_links(AT_FDCWD, from, O_PATH);
  int tree = there < 0 ? -1 : open_tree2(there, "", EMPTY_PATH | TREE_CLONE | TREE_CLOEXEC | TREE_RECURSIVE);
  if (tree < 0) fail_errno(why, "%s cannot be opened; may you read it?", from);
  if (there >= 0) close(there);
  if (tree < 0) return -1;
  taken[taken_count++] = tree;
  return 0;
}

static int lock(struct failure *why) {
  struct mount_attributes held = {.set = ATTR_RDONLY | ATTR_NODEV};
  if (mount_set(AT_FDCWD, "/", TREE_RECURSIVE, &held) < 0) return fail_errno(why, "The host cannot be made read-only");
  return 0;
}

/* What was the root. */
static int host = -1;

/* Nothing in the new root is a device, nor gives rights to who starts it. */
static int change_root(int tree, struct failure *why) {
  struct mount_attributes harmless = {.set = ATTR_NOSUID | ATTR_NODEV};
  if (mount_set(tree, "", EMPTY_PATH | TREE_RECURSIVE, &harmless) < 0) return fail_errno(why, "The image cannot be shown");
  if ((host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 || mount_move(tree, host) < 0)
    return fail_errno(why, "The image cannot be shown");
  /* The host's root then lies over the new one; paths that begin with / do not lead to it. */
  if (fchdir(tree) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || chdir("/") < 0)
    return fail_errno(why, "The root cannot be changed here");
  return 0;
}

/* A new /proc is given only to who sees one, so the host goes last. */
static int leave_host(struct failure *why) {
  if (host < 0) return 0;
  int done = fchdir(host) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ? -1 : 0;
  if (done < 0) fail_errno(why, "The host cannot be left");
  close(host);
  host = -1;
  return done;
}

/* One directory down, made where it is not there yet. */
static int descend(int from, const char *name, int file, const char *at, const char *rest, struct failure *why) {
  for (int tries = 0; tries < 2; tries++) {
    int fd = openat(from, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat about;
    if (fd >= 0 && fstat(fd, &about) == 0) {
      if (S_ISLNK(about.st_mode)) {
        close(fd);
        return fail(why, "%s/%s is a symbolic link, and nothing can be shown there; remove it.", at, rest);
      }
      return fd;
    }
    if (fd >= 0) close(fd);
    if (errno != ENOENT) break;
    int made = file ? openat(from, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666) : mkdirat(from, name, 0777);
    if (made < 0 && errno != EEXIST) break;
    if (file && made >= 0) close(made);
  }
  return fail_errno(why, "%s/%s cannot be made", at, rest);
}

static int point(const char *at, const char *rest, const char *kind, struct failure *why) {
  int here = place(at, why);
  /* As it is told. */
  if (strcmp(at, "/") == 0) at = "";
  char *path = strdup(rest);
  if (here < 0 || !path) {
    free(path);
    return -1;
  }
  char *left = path, *name;
  while (here >= 0 && (name = strsep(&left, "/"))) {
    if (*name == 0) continue;
    int next = strcmp(name, "..") == 0 ? fail(why, "%s/%s is no path below", at, rest)
                                       : descend(here, name, !left && strcmp(kind, "file") == 0, at, rest, why);
    close(here);
    here = next;
  }
  free(path);
  if (here >= 0) close(here);
  return here < 0 ? -1 : 0;
}

static int bind(const char *from, const char *at, const char *mode, struct failure *why) {
  int there = open_without_links(AT_FDCWD, from, O_PATH);
  if (there < 0)
    return fail(why, "%s is to be shown, but is a symbolic link or does not exist; make it, or leave it out.", from);
  int tree = open_tree2(there, "", EMPTY_PATH | TREE_CLONE | TREE_CLOEXEC | TREE_RECURSIVE);
  close(there);
  if (tree < 0) return fail_errno(why, "%s cannot be shown", from);
  int done = show(tree, at, mode, why);
  close(tree);
  return done;
}

/* A new file system of a kind, with settings: a list of names and values that ends with NULL. */
static int fresh(const char *kind, const char *const *settings, uint64_t attributes, const char *at, struct failure *why) {
  int done = -1;
  int fs = (int)syscall(NR_FSOPEN, kind, FS_CLOEXEC);
  if (fs < 0) return fail_errno(why, "There is no %s here", kind);
  for (; *settings; settings += 2)
    if (syscall(NR_FSCONFIG, fs, SET_STRING, settings[0], settings[1], 0) < 0) goto failed;
  if (syscall(NR_FSCONFIG, fs, SET_CREATE, NULL, NULL, 0) < 0) goto failed;
  int tree = (int)syscall(NR_FSMOUNT, fs, FS_CLOEXEC, attributes);
  if (tree < 0) goto failed;
  done = attach(tree, at, why);
  close(tree);
  close(fs);
  return done;
failed:
  done = fail_errno(why, "The %s at %s cannot be made", kind, at);
  close(fs);
  return done;
}

static int tmpfs(const char *at, const char *size, const char *mode, const char *flags, struct failure *why) {
  const char *settings[] = {"source", "shepherd", "mode", mode, strcmp(size, "-") == 0 ? NULL : "size", size, NULL};
  uint64_t attributes = ATTR_NOSUID | ATTR_NODEV | (strchr(flags, 'r') ? ATTR_RDONLY : 0) | (strchr(flags, 'x') ? ATTR_NOEXEC : 0);
  return fresh("tmpfs", settings, attributes, at, why);
}

static int proc(const char *at, struct failure *why) {
  const char *settings[] = {"source", "shepherd", NULL};
  return fresh("proc", settings, ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC, at, why);
}

static int pts(const char *at, struct failure *why) {
  const char *settings[] = {"source", "shepherd", "ptmxmode", "0666", "mode", "0620", NULL};
  return fresh("devpts", settings, ATTR_NOSUID | ATTR_NOEXEC, at, why);
}

static int make_link(const char *at, const char *name, const char *to, struct failure *why) {
  int here = place(at, why);
  if (here < 0) return -1;
  int done = symlinkat(to, here, name);
  if (done < 0) fail_errno(why, "%s/%s cannot be made", at, name);
  close(here);
  return done;
}

static int seal(const char *at, struct failure *why) {
  struct mount_attributes readonly = {.set = ATTR_RDONLY};
  int fd = place(at, why);
  if (fd < 0) return -1;
  int done = mount_set(fd, "", EMPTY_PATH, &readonly);
  if (done < 0) fail_errno(why, "%s cannot be made read-only", at);
  close(fd);
  return done;
}

static const struct {
  const char *name;
  size_t words;
} KNOWN[] = {{"take", 1}, {"lock", 0}, {"point", 3}, {"put", 3}, {"bind", 3}, {"tmpfs", 4}, {"proc", 1}, {"seal", 1},
             {"pts", 1},  {"link", 3}, {"root", 1}};

static int taken_by(const char *number, struct failure *why) {
  char *end;
  unsigned long which = strtoul(number, &end, 10);
  if (*number == 0 || *end != 0 || which >= taken_count) return fail(why, "Nothing was taken by the number %s", number);
  return taken[which];
}

static int perform(size_t which, char *const *word, struct failure *why) {
  switch (which) {
    case 0: return take(word[0], why);
    case 1: return lock(why);
    case 2: return point(word[0], word[1], word[2], why);
    case 3: {
      int tree = taken_by(word[0], why);
      return tree < 0 ? -1 : show(tree, word[1], word[2], why);
    }
    case 4: return bind(word[0], word[1], word[2], why);
    case 5: return tmpfs(word[0], word[1], word[2], word[3], why);
    case 6: return proc(word[0], why);
    case 7: return seal(word[0], why);
    case 8: return pts(word[0], why);
    case 10: {
      int tree = taken_by(word[0], why);
      return tree < 0 ? -1 : change_root(tree, why);
    }
    default: return make_link(word[0], word[1], word[2], why);
  }
}

int mounts_make(const struct words *words, size_t at, struct failure *why) {
  int apart = 0;
  while (at < words->count) {
    const char *name = words->word[at++];
    size_t which = 0;
    while (which < sizeof KNOWN / sizeof *KNOWN && strcmp(KNOWN[which].name, name) != 0) which++;
    if (which == sizeof KNOWN / sizeof *KNOWN) return fail(why, "%s is no instruction", name);
    if (words->count - at < KNOWN[which].words) return fail(why, "%s lacks words", name);
    /* What is taken at the start is seen by the helper, and may be nowhere else. */
    if (which != 0 && !apart && (apart = 1, bare_mounts(why) < 0)) return -1;
    if (perform(which, words->word + at, why) < 0) return -1;
    at += KNOWN[which].words;
  }
  if (leave_host(why) < 0) return -1;
  for (size_t i = 0; i < taken_count; i++) close(taken[i]);
  taken_count = 0;
  return apart ? 0 : bare_mounts(why);
}
