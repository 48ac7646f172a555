/* What has changed in a directory since a time, as far as stamps tell: one look at each file, and none into it. */
#include "kernel.h"
#include "scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
  DIR *dir;
  size_t path; /* where its path ends */
  int told;
};

struct walk {
  const char *id;
  long long since;
  char *path;
  size_t path_room;
  struct place *places;
  size_t depth, places_room;
  char *out; /* words that are still to be sent */
  size_t out_used, out_room;
};

static int grow(void **bytes, size_t *room, size_t need) {
  if (need <= *room) return 0;
  size_t more = *room ? 2 * *room : 4096;
  if (more < need) more = need;
  void *grown = realloc(*bytes, more);
  if (!grown) return -1;
  *bytes = grown;
  *room = more;
  return 0;
}

static int emit(struct walk *walk, size_t length) {
  if (walk->out_used + length + 1 > 65536 && walk->out_used > 0) {
    if (wire_send_all(1, walk->id, "more", walk->out, walk->out_used) < 0) return -1;
    walk->out_used = 0;
  }
  if (grow((void **)&walk->out, &walk->out_room, walk->out_used + length + 1) < 0) return -1;
  if (length > 0) memcpy(walk->out + walk->out_used, walk->path, length);
  walk->out[walk->out_used + length] = 0;
  walk->out_used += length + 1;
  return 0;
}

/* The directory where we are, and those above it that were not told yet: who wants one has to come by those. */
static int tell(struct walk *walk) {
  for (size_t i = 0; i < walk->depth; i++) {
    if (walk->places[i].told) continue;
    walk->places[i].told = 1;
    if (emit(walk, walk->places[i].path) < 0) return -1;
  }
  return 0;
}

static long long stamp(const struct stat *about) { return (long long)about->st_ctim.tv_sec * 1000000000 + about->st_ctim.tv_nsec; }

static int enter_place(struct walk *walk, int fd, size_t path) {
  struct stat about;
  DIR *dir = fstat(fd, &about) < 0 ? NULL : fdopendir(fd);
  if (!dir || grow((void **)&walk->places, &walk->places_room, (walk->depth + 1) * sizeof *walk->places) < 0) {
    if (dir) closedir(dir);
    else close(fd);
    return -1;
  }
  walk->places[walk->depth++] = (struct place){.dir = dir, .path = path};
  return stamp(&about) >= walk->since ? tell(walk) : 0;
}

/* Where a name in the directory where we are ends in its path, which stands there then; 0 where there is no memory. */
static size_t name_it(struct walk *walk, const char *name) {
  size_t here = walk->places[walk->depth - 1].path, start = here ? here + 1 : 0, length = strlen(name);
  if (grow((void **)&walk->path, &walk->path_room, start + length + 1) < 0) return 0;
  if (start) walk->path[start - 1] = '/';
  memcpy(walk->path + start, name, length);
  return start + length;
}

static int look(struct walk *walk, const struct dirent *entry) {
  int in = dirfd(walk->places[walk->depth - 1].dir), isDir = entry->d_type == DT_DIR;
  const char *name = entry->d_name;
  size_t end;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return 0;
  struct stat about;
  if (entry->d_type == DT_UNKNOWN || (!isDir && walk->since > 0)) {
    /* A process has removed it meanwhile: its directory says so. */
    if (fstatat(in, name, &about, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : -1;
    isDir = S_ISDIR(about.st_mode);
    if (!isDir && walk->since > 0 && stamp(&about) >= walk->since)
      return tell(walk) < 0 || !(end = name_it(walk, name)) || emit(walk, end) < 0 ? -1 : 0;
  }
  if (!isDir) return 0;
  int fd = openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -1;
  if ((end = name_it(walk, name))) return enter_place(walk, fd, end);
  close(fd);
  return -1;
}

/* Tells, by `more` and at last `ok`, the paths of what has a stamp since then, and of the directories above; with 0, of all directories. */
int changed_since(const char *id, const char *path, long long since, struct failure *why) {
  struct walk walk = {.id = id, .since = since};
  int fd = open_without_links(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  int done = fd < 0 ? -1 : enter_place(&walk, fd, 0);
  while (done == 0 && walk.depth > 0) {
    errno = 0;
    const struct dirent *entry = readdir(walk.places[walk.depth - 1].dir);
    if (entry) done = look(&walk, entry);
    else if (errno) done = -1;
    else closedir(walk.places[--walk.depth].dir);
  }
  if (done < 0) fail_errno(why, "%s cannot be looked through", path);
  else done = wire_send_all(1, id, "ok", walk.out ? walk.out : "", walk.out_used);
  while (walk.depth > 0) closedir(walk.places[--walk.depth].dir);
  free(walk.path);
  free(walk.places);
  free(walk.out);
  return done;
}
