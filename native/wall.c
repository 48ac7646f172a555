/*
 * Landlock: a second wall behind the mounts. A program behind it writes to what it was granted and to nothing else, whatever a mount would
 * let it do: a mount that is read-only still lets pipes with a name be written to. Reading is not held back: what must not be read is not
 * there. Nothing is held back of the network, which is the sandbox's own, nor of signals, which reach nobody outside.
 */
#include "kernel.h"
#include "scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WRITE_FILE (1ull << 1)
#define MAKE_AND_REMOVE (0x1ffull << 4) /* remove_dir, remove_file, make_char, …_dir, …_reg, …_sock, …_fifo, …_block, …_sym */
#define REFER (1ull << 13)              /* to rename and link from one directory to another; version 2 */
#define TRUNCATE (1ull << 14)           /* version 3 */
#define IOCTL_DEV (1ull << 15)          /* version 5 */
#define OF_FILES (WRITE_FILE | TRUNCATE | IOCTL_DEV)
#define RULE_PATH_BENEATH 1
#define ASK_VERSION 1

/* Packed, as the kernel has it. */
struct beneath {
  uint64_t allowed;
  int32_t parent;
} __attribute__((packed));

int wall_version(void) {
  long version = syscall(NR_LANDLOCK_CREATE_RULESET, NULL, 0, ASK_VERSION);
  /* The first one refuses each rename to another directory. */
  return version < 2 ? 0 : (int)version;
}

static uint64_t handled(int version) {
  return WRITE_FILE | MAKE_AND_REMOVE | REFER | (version >= 3 ? TRUNCATE : 0) | (version >= 5 ? IOCTL_DEV : 0);
}

/* A byte that cannot stand in an argument of Node's stands there as % and two digits. */
static void decode(char *text) {
  char *to = text;
  for (; *text; text++) {
    char digits[3] = {text[0] == '%' ? text[1] : 0, text[0] == '%' && text[1] ? text[2] : 0, 0};
    if (digits[0] && digits[1]) *to++ = (char)strtoul(digits, NULL, 16), text += 2;
    else *to++ = *text;
  }
  *to = 0;
}

static int grant(int rules, int fd, uint64_t rights, struct failure *why) {
  struct beneath one = {.allowed = rights, .parent = fd};
  if (syscall(NR_LANDLOCK_ADD_RULE, rules, RULE_PATH_BENEATH, &one, 0) == 0) return 0;
  /* A pipe or a socket without a name is no part of a file system, and is held back by nothing. */
  if (errno == EBADFD) return 0;
  return fail_errno(why, "What may be written to cannot be granted");
}

static int grant_path(int rules, char *word, uint64_t all, struct failure *why) {
  int whole = *word == '+';
  decode(++word);
  int fd = open(word, O_PATH | O_CLOEXEC);
  struct stat about;
  /* What was removed meanwhile needs none. */
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : fail_errno(why, "%s cannot be granted", word);
  int done = fstat(fd, &about) < 0 ? fail_errno(why, "%s cannot be granted", word)
                                   : grant(rules, fd, whole && S_ISDIR(about.st_mode) ? all : all & OF_FILES, why);
  close(fd);
  return done;
}

/* What a program was given may be opened by it again, as by /dev/stderr, though it lies outside. */
static int grant_given(int rules, int fd, uint64_t all, struct failure *why) {
  struct stat about;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fstat(fd, &about) < 0 || S_ISDIR(about.st_mode)) return 0;
  uint64_t rights = (flags & O_ACCMODE) == O_RDONLY ? IOCTL_DEV : OF_FILES;
  return (rights & all) ? grant(rules, fd, rights & all, why) : 0;
}

int wall(char *const *grants, size_t count, struct failure *why) {
  int version = wall_version();
  if (version == 0) return 0;
  uint64_t all = handled(version);
  int rules = (int)syscall(NR_LANDLOCK_CREATE_RULESET, &all, sizeof all, 0);
  if (rules < 0) return fail_errno(why, "Landlock cannot be used");
  int done = 0;
  for (size_t i = 0; done == 0 && i < count; i++) done = grant_path(rules, grants[i], all, why);
  for (int fd = 0; done == 0 && fd < 3; fd++) done = grant_given(rules, fd, all, why);
  if (done == 0 && syscall(NR_LANDLOCK_RESTRICT_SELF, rules, 0) < 0) done = fail_errno(why, "Landlock cannot be used");
  close(rules);
  return done;
}
