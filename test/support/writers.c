/*
 * writers FROM TO SEED: renames a directory beside processes that do all there is to do in it, through its name, open files and mappings, as long
 * as it has that name. Tells what is then otherwise than they did it, and "refused" where the rename was (EXDEV). What succeeds must be there, what fails not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WRITERS 3
#define FILES 40
#define DIRS 4

static const char *from, *to;
static unsigned seed;

/* What a writer knows of a file: it alone touches it. */
struct file {
  int exists, mode;
  long size;
};

static unsigned next(unsigned *state) { return (*state = *state * 1103515245u + 12345u) >> 8; }

static const char *name_of(char *into, const char *top, int writer, int at, const char *more) {
  sprintf(into, "%s/s%d/f%d-%d%s", top, at % DIRS, writer, at, more);
  return into;
}

static int write_new(const char *path, long size, int flags) {
  char text[256];
  memset(text, 'a', sizeof text);
  int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);
  if (fd < 0) return -1;
  if (write(fd, text, (size_t)size) != size) exit(9);
  close(fd);
  return 0;
}

/* One that is always there looks for what must not be seen from inside. */
static int look(void) {
  char inner[256];
  sprintf(inner, "%s/s0/f0-0.kept", from);
  for (int gone = 0;;) {
    struct stat about;
    int there = stat(from, &about) == 0, file = stat(inner, &about) == 0, still = stat(from, &about) == 0;
    if (there && still && !file) return printf("a file was not there for a moment\n"), 1;
    if (gone && there) return printf("the directory was there again\n"), 1;
    gone |= !there;
    DIR *dir = opendir(".");
    for (const struct dirent *each; (each = readdir(dir));)
      if (strstr(each->d_name, "renamed")) return printf("%s was seen\n", each->d_name), 1;
    closedir(dir);
    if (gone && stat(to, &about) == 0) return 0;
  }
}

static void *beside(void *counter) {
  /* Another thread of the same process writes through a mapping. */
  for (volatile long *each = counter;; usleep(100)) ++*each;
  return NULL;
}

static int work(int writer, volatile int *ops) {
  struct file files[FILES];
  char path[256], other[256];
  unsigned state = seed * 31 + (unsigned)writer;
  struct stat about;
  for (int i = 0; i < FILES; i++) files[i] = (struct file){1, 0644, 10};
  int log = open(name_of(path, from, writer, 0, ".kept"), O_RDWR | O_APPEND), wrong = 0;
  int locked = open(name_of(path, from, writer, 1, ".kept"), O_RDONLY), map = open(name_of(path, from, writer, 2, ".kept"), O_RDWR);
  if (log < 0 || locked < 0 || map < 0 || flock(locked, LOCK_EX | LOCK_NB) < 0 || ftruncate(map, 4096) < 0) exit(8);
  long *counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0), logged = 10;
  pthread_t thread;
  pthread_create(&thread, NULL, beside, counter);
  while (stat(from, &about) == 0) {
    int at = (int)(next(&state) % FILES);
    struct file *file = &files[at];
    name_of(path, from, writer, at, "");
    name_of(other, from, writer, at, ".new");
    long size = next(&state) % 200;
    ++*ops;
    if (write(log, "z", 1) == 1) logged++;
    if (!file->exists) {
      if (next(&state) % 2 ? write_new(path, size, O_EXCL) == 0 : (write_new(other, size, O_TRUNC) == 0 && link(other, path) == 0)) *file = (struct file){1, 0644, size};
      unlink(other);
      continue;
    }
    switch (next(&state) % 5) {
      case 0:
        if (unlink(path) == 0) file->exists = 0;
        break;
      case 1:
        if (write_new(other, size, O_TRUNC) == 0 && rename(other, path) == 0) *file = (struct file){1, 0644, size};
        break;
      case 2:
        if (truncate(path, size) == 0) file->size = size;
        break;
      case 3:
        if (chmod(path, size % 2 ? 0600 : 0640) == 0) file->mode = size % 2 ? 0600 : 0640;
        break;
      case 4: {
        int fd = open(path, O_WRONLY | O_APPEND);
        if (fd < 0) break;
        if (write(fd, "bb", 2) == 2) file->size += 2;
        close(fd);
      }
    }
  }
  while (stat(to, &about) < 0) usleep(1000);
#define WRONG(...) (wrong++, printf("writer %d: ", writer), printf(__VA_ARGS__), printf("\n"))
  for (int i = 0; i < FILES; i++) {
    int there = stat(name_of(path, to, writer, i, ""), &about) == 0;
    if (there != files[i].exists) WRONG("%s %s there", path, there ? "is" : "is not");
    else if (there && about.st_size != files[i].size) WRONG("%s has %ld bytes, not %ld", path, (long)about.st_size, files[i].size);
    else if (there && files[i].mode != 0644 && (about.st_mode & 07777) != (unsigned)files[i].mode) WRONG("%s has mode %o", path, about.st_mode);
  }
  if (stat(name_of(path, to, writer, 0, ".kept"), &about) < 0 || about.st_size != logged) WRONG("the log has not all");
  /* Of a mapping both ends are the same memory, also now. */
  int again = open(name_of(path, to, writer, 2, ".kept"), O_RDONLY);
  volatile long *other_end = again < 0 ? NULL : mmap(NULL, 4096, PROT_READ, MAP_SHARED, again, 0);
  counter[1] = (long)seed;
  if (!other_end || other_end[1] != (long)seed || other_end[0] == 0) WRONG("the mapping leads elsewhere");
  int rival = open(name_of(path, to, writer, 1, ".kept"), O_RDONLY);
  if (rival < 0 || flock(rival, LOCK_EX | LOCK_NB) == 0) WRONG("the lock is another one");
  return wrong > 0;
}

/* How many entries there are besides those that writers know of. */
static int strays(void) {
  int found = 0;
  char path[256];
  for (int i = 0; i < DIRS; i++) {
    sprintf(path, "%s/s%d", to, i);
    DIR *dir = opendir(path);
    for (const struct dirent *each; dir && (each = readdir(dir));)
      if (each->d_name[0] != 'f' && each->d_name[0] != '.') found += printf("%s/%s is there\n", path, each->d_name) > 0;
    if (!dir) found += printf("%s is not there\n", path) > 0;
    else closedir(dir);
  }
  return found;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  from = argv[1], to = argv[2], seed = (unsigned)atoi(argv[3]);
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (strcmp(to, "fill") == 0) {
    char path[256];
    mkdir(from, 0755);
    for (int i = 0; i < DIRS; i++) sprintf(path, "%s/s%d", from, i), mkdir(path, 0755);
    for (int w = 0; w < WRITERS; w++)
      for (int i = 0; i < FILES; i++) write_new(name_of(path, from, w, i, ""), 10, 0), i < 3 && write_new(name_of(path, from, w, i, ".kept"), 10, 0);
    return 0;
  }
  volatile int *ops = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t children[WRITERS + 1];
  for (int i = 0; i <= WRITERS; i++)
    if ((children[i] = fork()) == 0) {
      int code = i < WRITERS ? work(i, ops + i) : look();
      exit(code);
    }
  for (int i = 0; i < WRITERS; i++)
    while (ops[i] < 3) usleep(100);
  usleep(next(&seed) % 20000);
  int refused = 0;
  for (struct timespec rest = {.tv_nsec = 1000000}; rename(from, to) < 0; nanosleep(&rest, NULL)) {
    if (errno != EXDEV) return perror("rename"), 1;
    if (++refused > 20) {
      for (int i = 0; i <= WRITERS; i++) kill(children[i], SIGKILL);
      return printf("refused\n"), 3;
    }
  }
  if (refused) printf("refused %d times\n", refused);
  int wrong = 0, status;
  while (wait(&status) > 0) wrong |= status != 0;
  return wrong | (strays() > 0);
}
