/*
 * What has changed in a directory since a time, as far as stamps tell: one look at each file, and none into it. The looks are all that it takes,
 * so where there is much to look at all processors do.
 */
#include "kernel.h"
#include "scope.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define THREADS_MOST 8
/* With fewer directories it is done before other threads begin. */
#define MANY 16

struct place {
  struct place *next;
  size_t length;
  char path[];
};

struct walk {
  const char *id;
  long long since;
  int root;
  pthread_mutex_t lock;
  pthread_cond_t news;
  /* Directories that nobody looks through yet; how many of them, and how many somebody does. */
  struct place *waiting;
  size_t count, busy;
  int error;
  pthread_t threads[THREADS_MOST];
  size_t started, allowed;
  char *out; /* words that are still to be sent */
  size_t used, room;
};

static void *work(void *given);

/* The path of an entry, NULL where there is no memory. */
static struct place *below(const struct place *in, const char *name) {
  size_t start = in->length ? in->length + 1 : 0, length = strlen(name);
  struct place *place = malloc(sizeof *place + start + length + 1);
  if (!place) return NULL;
  if (start) {
    memcpy(place->path, in->path, in->length);
    place->path[in->length] = '/';
  }
  memcpy(place->path + start, name, length + 1);
  place->length = start + length;
  return place;
}

/* For another directory; takes the place over. */
static int later(struct walk *walk, struct place *place) {
  pthread_mutex_lock(&walk->lock);
  place->next = walk->waiting;
  walk->waiting = place;
  if (++walk->count > MANY)
    while (walk->started < walk->allowed && pthread_create(&walk->threads[walk->started], NULL, work, walk) == 0) walk->started++;
  pthread_cond_signal(&walk->news);
  pthread_mutex_unlock(&walk->lock);
  return 0;
}

static int tell(struct walk *walk, const struct place *place) {
  size_t more = place->length + 1;
  int done = 0;
  pthread_mutex_lock(&walk->lock);
  if (walk->used + more > 65536 && walk->used > 0) {
    done = wire_send_all(1, walk->id, "more", walk->out, walk->used);
    walk->used = 0;
  }
  if (walk->used + more > walk->room) {
    char *grown = realloc(walk->out, walk->used + more + 65536);
    if (grown) {
      walk->out = grown;
      walk->room = walk->used + more + 65536;
    } else done = -1;
  }
  if (done == 0) {
    memcpy(walk->out + walk->used, place->path, more);
    walk->used += more;
  }
  pthread_mutex_unlock(&walk->lock);
  return done;
}

static int is_new(const struct walk *walk, const struct stat *about) {
  return (long long)about->st_ctim.tv_sec * 1000000000 + about->st_ctim.tv_nsec >= walk->since;
}

static int look(struct walk *walk, const struct place *here, int in, const struct dirent *entry) {
  const char *name = entry->d_name;
  int isDir = entry->d_type == DT_DIR, isNew = 0;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return 0;
  if (entry->d_type == DT_UNKNOWN || (!isDir && walk->since > 0)) {
    struct stat about;
    /* A process has removed it meanwhile: its directory says so. */
    if (fstatat(in, name, &about, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : -1;
    isDir = S_ISDIR(about.st_mode);
    isNew = !isDir && walk->since > 0 && is_new(walk, &about);
  }
  if (!isDir && !isNew) return 0;
  struct place *place = below(here, name);
  if (!place) return -1;
  if (isDir) return later(walk, place);
  int done = tell(walk, place);
  free(place);
  return done;
}

static int look_through(struct walk *walk, const struct place *place) {
  int fd = open_without_links(walk->root, place->length ? place->path : ".", O_RDONLY | O_DIRECTORY);
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -1;
  struct stat about;
  DIR *dir = fstat(fd, &about) < 0 ? NULL : fdopendir(fd);
  if (!dir) {
    close(fd);
    return -1;
  }
  int done = is_new(walk, &about) ? tell(walk, place) : 0;
  while (done == 0) {
    errno = 0;
    const struct dirent *entry = readdir(dir);
    if (!entry && errno) done = -1;
    if (!entry) break;
    done = look(walk, place, fd, entry);
  }
  int error = errno;
  closedir(dir);
  errno = error;
  return done;
}

static void *work(void *given) {
  struct walk *walk = given;
  pthread_mutex_lock(&walk->lock);
  for (;;) {
    while (!walk->waiting && walk->busy > 0) pthread_cond_wait(&walk->news, &walk->lock);
    struct place *place = walk->waiting;
    if (!place) break;
    walk->waiting = place->next;
    walk->count--;
    walk->busy++;
    int failed = walk->error;
    pthread_mutex_unlock(&walk->lock);
    /* What is left is given up only. */
    int error = !failed && look_through(walk, place) < 0 ? (errno ? errno : EIO) : 0;
    free(place);
    pthread_mutex_lock(&walk->lock);
    if (error) walk->error = error;
    walk->busy--;
  }
  pthread_cond_broadcast(&walk->news);
  pthread_mutex_unlock(&walk->lock);
  return NULL;
}

/* Tells, by `more` and at last `ok`, the paths of what has a stamp since then; with 0, of all directories. */
int changed_since(const char *id, const char *path, long long since, struct failure *why) {
  struct walk walk = {.id = id, .since = since, .lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};
  cpu_set_t processors;
  if (sched_getaffinity(0, sizeof processors, &processors) == 0) walk.allowed = (size_t)CPU_COUNT(&processors) - 1;
  if (walk.allowed > THREADS_MOST) walk.allowed = THREADS_MOST;
  struct place *top = calloc(1, sizeof *top + 1);
  walk.root = open_without_links(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  if (!top || walk.root < 0) walk.error = errno;
  else {
    later(&walk, top);
    top = NULL;
    work(&walk);
    for (size_t i = 0; i < walk.started; i++) pthread_join(walk.threads[i], NULL);
  }
  free(top);
  if (walk.root >= 0) close(walk.root);
  errno = walk.error;
  int done = walk.error ? fail_errno(why, "%s cannot be looked through", path)
                        : wire_send_all(1, id, "ok", walk.out ? walk.out : "", walk.used);
  free(walk.out);
  return done;
}
