/* Mounts of the helper's own: layers that several sandboxes see as one directory. */
#include "kernel.h"
#include "scope.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

/* The mounts of the host alone, as this process had them before it made any. */
static int bare = -1;

int own_mounts(struct failure *why) {
  for (int twice = 0; twice < 2; twice++) {
    if (unshare(CLONE_NEWNS) < 0) return fail_errno(why, "A mount namespace cannot be made");
    /* What the host mounts later is seen here, and nothing of ours is seen there. */
    if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) return fail_errno(why, "The mounts cannot be kept apart");
    if (bare < 0 && (bare = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC)) < 0)
      return fail_errno(why, "The mounts cannot be kept");
  }
  return 0;
}

int bare_mounts(struct failure *why) {
  if (setns(bare, CLONE_NEWNS) < 0 || unshare(CLONE_NEWNS) < 0) return fail_errno(why, "The namespaces cannot be made");
  /* Nothing that is mounted here shows on the host, nor the other way round. */
  if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return fail_errno(why, "The mounts cannot be made private");
  return 0;
}

/* So many directories can be named in one setting of 255 bytes. */
#define LAYERS_MOST 60

/*
 * The kernel takes no setting of more than 255 bytes, in which a colon would end a path. So each directory is held open, and named by the
 * number by which it is: from /proc/self/fd, that is short.
 */
static int set_layers(int fs, const int *held, size_t count, struct failure *why) {
  char below[256] = "", text[16];
  size_t used = 0;
  for (size_t i = 2; i < count; i++) {
    int more = snprintf(below + used, sizeof below - used, i == 2 ? "%d" : ":%d", held[i]);
    if (more < 0 || (used += (size_t)more) >= sizeof below) return fail(why, "Too many layers are to be shown as one");
  }
  char upper[16];
  snprintf(upper, sizeof upper, "%d", held[0]);
  snprintf(text, sizeof text, "%d", held[1]);
  int ordinary = in_user_namespace();
  const char *settings[] = {"source", "shepherd", "lowerdir", below, "upperdir", upper,  "workdir", text,
                            "index",  "off",      "metacopy", "off", ordinary ? NULL : "redirect_dir", "on", NULL};
  /* Of an ordinary user the kernel keeps its notes where that user may write, and believes none that names a directory: see renames.c. */
  if (ordinary && syscall(NR_FSCONFIG, fs, SET_FLAG, "userxattr", NULL, 0) < 0)
    return fail_errno(why, "An overlay of an ordinary user cannot be made");
  for (const char **each = settings; *each; each += 2)
    if (syscall(NR_FSCONFIG, fs, SET_STRING, each[0], each[1], 0) < 0)
      return fail_errno(why, "An overlay does not take %s", each[0]);
  /* It is a cache: what must last is in the store. */
  syscall(NR_FSCONFIG, fs, SET_FLAG, "volatile", NULL, 0);
  return 0;
}

int overlay_mount(const struct words *words, size_t at, struct failure *why) {
  size_t count = words->count - at - 1;
  int held[LAYERS_MOST + 2], done = -1, tree = -1, to = -1, fs = -1;
  if (count > sizeof held / sizeof *held) return fail(why, "Too many layers are to be shown as one");
  for (size_t i = 0; i < count; i++) held[i] = -1;
  for (size_t i = 0; i < count; i++)
    if ((held[i] = open_without_links(AT_FDCWD, words->word[at + 1 + i], O_PATH | O_DIRECTORY)) < 0) {
      fail_errno(why, "%s cannot be opened", words->word[at + 1 + i]);
      goto end;
    }
  if ((fs = (int)syscall(NR_FSOPEN, "overlay", FS_CLOEXEC)) < 0) {
    fail_errno(why, "There are no overlays here");
    goto end;
  }
  if (chdir("/proc/self/fd") < 0) {
    fail_errno(why, "/proc cannot be used");
    goto end;
  }
  done = set_layers(fs, held, count, why);
  if (done == 0 && (syscall(NR_FSCONFIG, fs, SET_CREATE, NULL, NULL, 0) < 0 || (tree = (int)syscall(NR_FSMOUNT, fs, FS_CLOEXEC, 0)) < 0))
    done = fail_errno(why, "The overlay cannot be made");
  if (chdir("/") < 0) _exit(1);
  if (done == 0 && ((to = open_without_links(AT_FDCWD, words->word[at], O_PATH | O_DIRECTORY)) < 0 || mount_move(tree, to) < 0))
    done = fail_errno(why, "The overlay cannot be shown at %s", words->word[at]);
end:
  if (to >= 0) close(to);
  if (tree >= 0) close(tree);
  if (fs >= 0) close(fs);
  for (size_t i = 0; i < count; i++)
    if (held[i] >= 0) close(held[i]);
  return done;
}

int overlay_unmount(const char *at, struct failure *why) {
  if (umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return 0;
  return fail_errno(why, "%s cannot be taken down", at);
}
