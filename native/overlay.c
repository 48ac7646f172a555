/* Mounts of the helper's own: layers that several sandboxes see as one directory. */
#include "kernel.h"
#include "scope.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>

int own_mounts(struct failure *why) {
  if (unshare(CLONE_NEWNS) < 0) return fail_errno(why, "A mount namespace cannot be made");
  /* What the host mounts later is seen here, and nothing of ours is seen there. */
  if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) return fail_errno(why, "The mounts cannot be kept apart");
  return 0;
}

/* A path among several, which a colon would end. */
static int escaped(const char *path, char *into, size_t room) {
  size_t n = 0;
  for (; *path; path++) {
    if (*path == ':' || *path == '\\') into[n++] = '\\';
    if (n + 2 >= room) return -1;
    into[n++] = *path;
  }
  into[n] = 0;
  return 0;
}

int overlay_mount(const char *lower, const char *upper, const char *work, const char *at, struct failure *why) {
  char below[8192];
  if (escaped(lower, below, sizeof below) < 0) return fail(why, "%s is too long", lower);
  const char *settings[] = {"source", "shepherd", "lowerdir", below, "upperdir", upper, "workdir", work, "redirect_dir", "on",
                            "index", "off", "metacopy", "off", NULL};
  int fs = (int)syscall(NR_FSOPEN, "overlay", FS_CLOEXEC);
  if (fs < 0) return fail_errno(why, "There are no overlays here");
  int done = -1, tree = -1, to = -1;
  for (const char **each = settings; *each; each += 2)
    if (syscall(NR_FSCONFIG, fs, SET_STRING, each[0], each[1], 0) < 0) {
      fail_errno(why, "An overlay does not take %s", each[0]);
      goto end;
    }
  /* It is a cache: what must last is in the store. */
  syscall(NR_FSCONFIG, fs, 0 /* a flag */, "volatile", NULL, 0);
  if (syscall(NR_FSCONFIG, fs, SET_CREATE, NULL, NULL, 0) < 0 || (tree = (int)syscall(NR_FSMOUNT, fs, FS_CLOEXEC, 0)) < 0) {
    fail_errno(why, "The overlay cannot be made");
    goto end;
  }
  if ((to = open_without_links(AT_FDCWD, at, O_PATH | O_DIRECTORY)) < 0 || (done = mount_move(tree, to)) < 0)
    fail_errno(why, "The overlay cannot be shown at %s", at);
end:
  if (to >= 0) close(to);
  if (tree >= 0) close(tree);
  close(fs);
  return done;
}

int overlay_unmount(const char *at, struct failure *why) {
  if (umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return 0;
  return fail_errno(why, "%s cannot be taken down", at);
}
