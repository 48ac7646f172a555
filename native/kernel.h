/* Calls of the kernel that a C library may not know yet. Their numbers are the same on all machines. */
#ifndef KERNEL_H
#define KERNEL_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NR_OPEN_TREE 428
#define NR_MOVE_MOUNT 429
#define NR_FSOPEN 430
#define NR_FSCONFIG 431
#define NR_FSMOUNT 432
#define NR_PIDFD_OPEN 434
#define NR_CLOSE_RANGE 436
#define NR_OPENAT2 437
#define NR_PIDFD_GETFD 438
#define NR_MOUNT_SETATTR 442
#define NR_LANDLOCK_CREATE_RULESET 444
#define NR_LANDLOCK_ADD_RULE 445
#define NR_LANDLOCK_RESTRICT_SELF 446

#define TREE_CLONE 1
#define TREE_CLOEXEC O_CLOEXEC
#define TREE_RECURSIVE 0x8000
#define EMPTY_PATH 0x1000
#define MOVE_FROM_EMPTY 0x04
#define MOVE_TO_EMPTY 0x40
#define FS_CLOEXEC 1
#define SET_STRING 1
#define SET_CREATE 6
#define ATTR_RDONLY 1
#define ATTR_NOSUID 2
#define ATTR_NODEV 4
#define ATTR_NOEXEC 8
#define RESOLVE_NO_MOUNTS 0x01
#define RESOLVE_NO_MAGIC 0x02
#define RESOLVE_NO_LINKS 0x04
#define SET_FLAG 0

struct mount_attributes {
  uint64_t set, clear, propagation, userns;
};
struct open_how2 {
  uint64_t flags, mode, resolve;
};

static inline int open_tree2(int at, const char *path, unsigned flags) {
  return (int)syscall(NR_OPEN_TREE, at, path, flags);
}
static inline int mount_set(int at, const char *path, unsigned flags, struct mount_attributes *attributes) {
  return (int)syscall(NR_MOUNT_SETATTR, at, path, flags, attributes, sizeof *attributes);
}
static inline int mount_move(int from, int to) {
  return (int)syscall(NR_MOVE_MOUNT, from, "", to, "", MOVE_FROM_EMPTY | MOVE_TO_EMPTY);
}
static inline int open_in(int at, const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how2 how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
  return (int)syscall(NR_OPENAT2, at, path, &how, sizeof how);
}
static inline int open_without_links(int at, const char *path, uint64_t flags) { return open_in(at, path, flags, RESOLVE_NO_LINKS); }

#endif
