/* Renames of all kinds in the directory where it starts, told line by line: the same on layers as on a plain directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOREPLACE 1
#define EXCHANGE 2

static void tell(const char *what, long done) { printf("%s: %s\n", what, done < 0 ? strerror(errno) : "done"); }

static long rename2(int at, const void *from, int to_at, const void *to, unsigned flags) {
  return syscall(SYS_renameat2, at, from, to_at, to, flags);
}

static void fill(const char *path, const char *text) {
  int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) exit(9);
  close(fd);
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

/* What there is, with modes, sizes and how many names files have. */
static void list(const char *path) {
  struct dirent **all;
  int count = scandir(path, &all, NULL, by_name);
  for (int i = 0; i < count; i++) {
    char below[8192];
    struct stat about;
    if (strcmp(all[i]->d_name, ".") == 0 || strcmp(all[i]->d_name, "..") == 0) continue;
    snprintf(below, sizeof below, "%s/%s", path, all[i]->d_name);
    if (lstat(below, &about) < 0) exit(9);
    if (S_ISDIR(about.st_mode)) printf("%s %o\n", below, about.st_mode);
    else printf("%s %o %ld %ld\n", below, about.st_mode, (long)about.st_size, (long)about.st_nlink);
    if (S_ISDIR(about.st_mode)) list(below);
  }
}

static void as_others_do(void) {
  struct stat before, after;
  char here[4096], path[8192];
  if (!getcwd(here, sizeof here)) exit(9);
  stat("big", &before);
  tell("a large directory", rename("big", "large"));
  stat("large", &after);
  printf("its times are kept: %d\n", before.st_mtim.tv_nsec == after.st_mtim.tv_nsec && before.st_mtim.tv_sec == after.st_mtim.tv_sec);
  int at = open("deep", O_RDONLY | O_DIRECTORY), closed = dup(at);
  close(closed);
  tell("a nested one, by a descriptor", renameat(at, "b", at, "z"));
  tell("it again, to elsewhere", renameat(at, "z", AT_FDCWD, "z"));
  close(at);
  snprintf(path, sizeof path, "%s/z/c", here);
  tell("by a whole path", rename(path, "c"));
  tell("over an empty one", rename("c", "empty"));
  tell("onto one that is not", rename("empty", "full"));
  tell("onto a file", rename("one", "file"));
  tell("a file onto it", rename("file", "one"));
  tell("a file", rename("file", "file2"));
  tell("a file over another", rename("file2", "other"));
  tell("to where something is, if nothing is", rename2(AT_FDCWD, "one", AT_FDCWD, "two", NOREPLACE));
  tell("to where nothing is", rename2(AT_FDCWD, "one", AT_FDCWD, "first", NOREPLACE));
  tell("two that change places", rename2(AT_FDCWD, "first", AT_FDCWD, "two", EXCHANGE));
  tell("one and a file", rename2(AT_FDCWD, "three", AT_FDCWD, "other", EXCHANGE));
  tell("into itself", rename("four", "four/x"));
  tell("with a slash at its end", rename("four/", "fourth/"));
  tell("by a link above it", rename("link/sub", "link/below"));
  tell("a link to one", rename("link", "link2"));
  tell("a link to one, with a slash", rename("link2/", "link3"));
  tell("what is not there", rename("none", "x"));
  tell("to where nothing can be", rename("two", "none/x"));
  tell("itself", rename("two", "two"));
  tell("where it stands", rename(".", "x"));
  tell("what is above", rename("two/..", "x"));
  tell("one with closed ones in it", rename("locked", "locked2"));
  int fd = open("open/log", O_WRONLY | O_APPEND);
  if (fd < 0 || write(fd, "before\n", 7) < 0) exit(9);
  tell("one with a file that is open", rename("open", "opened"));
  if (write(fd, "behind\n", 7) < 0) exit(9);
  close(fd);
  if (link("names/a", "names/b") < 0) exit(9);
  tell("one with a file of two names", rename("names", "named"));
}

static void as_nobody_should(void) {
  char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *huge = malloc(100000);
  munmap(page + 4096, 4096);
  tell("no address", rename2(AT_FDCWD, NULL, AT_FDCWD, "x", 0));
  tell("an address that is none", rename2(AT_FDCWD, (void *)-4096l, AT_FDCWD, "x", EXCHANGE));
  memset(page, 'x', 4096);
  tell("a path that runs out of memory", rename2(AT_FDCWD, page + 4000, AT_FDCWD, "x", 0));
  memcpy(page + 4096 - sizeof "sixth", "sixth", sizeof "sixth");
  tell("a path up to its end", rename2(AT_FDCWD, page + 4096 - sizeof "sixth", AT_FDCWD, "sixth2", 0));
  memset(huge, 'y', 99999);
  huge[99999] = 0;
  tell("a path that is too long", rename2(AT_FDCWD, huge, AT_FDCWD, "x", 0));
  tell("a descriptor that is none", rename2(77, "two", AT_FDCWD, "x", 0));
  int fd = open("other2", O_CREAT | O_RDONLY, 0600);
  tell("a descriptor of a file", rename2(fd, "two", fd, "x", 0));
  tell("flags that are none", rename2(AT_FDCWD, "two", AT_FDCWD, "x", 0x80));
  tell("no path", rename2(AT_FDCWD, "", AT_FDCWD, "x", 0));
}

static void many_at_once(void) {
  for (int i = 0; i < 4; i++)
    if (fork() == 0) {
      for (int j = 0; j < 10; j++) {
        char from[64], to[64];
        snprintf(from, sizeof from, "many/%d", i * 10 + j);
        snprintf(to, sizeof to, "many/to%d", i * 10 + j);
        if (rename(from, to) < 0) _exit(1);
        snprintf(to, sizeof to, "many/f%d", i);
        snprintf(from, sizeof from, "many/g%d", i);
        fill(from, "f");
        if (rename(from, to) < 0) _exit(1);
      }
      _exit(0);
    }
  for (int i = 0; i < 4; i++) {
    int status;
    wait(&status);
    if (status != 0) printf("one at once with others: %d\n", status);
  }
}

/* With a number: so many renames of a file, and how long one takes in ns. */
static int measure(long count) {
  struct timespec from, to;
  fill("A", "");
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (long i = 0; i < count; i += 2)
    if (rename("A", "B") < 0 || rename("B", "A") < 0) return 1;
  clock_gettime(CLOCK_MONOTONIC, &to);
  printf("%ld\n", ((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec) / count);
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 1) return measure(atol(argv[1]));
  as_others_do();
  as_nobody_should();
  many_at_once();
  list(".");
  return 0;
}
