/*
 * Tells the file system that what lies in a directory has nothing to do with each other, as the homes of users. ext4 then gives each directory
 * in it a part of the disk of its own. In one part that all share, an ext4 without a journal looks at each entry that was removed there in the
 * last minutes before it makes another one.
 */
#include "kernel.h"
#include "scope.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

int spread(const char *path, struct failure *why) {
  int fd = open_without_links(AT_FDCWD, path, O_RDONLY | O_DIRECTORY), flags;
  if (fd < 0) return fail_errno(why, "%s cannot be opened", path);
  int done = ioctl(fd, FS_IOC_GETFLAGS, &flags);
  if (done == 0 && !(flags & FS_TOPDIR_FL)) {
    flags |= FS_TOPDIR_FL;
    done = ioctl(fd, FS_IOC_SETFLAGS, &flags);
  }
  if (done < 0) fail_errno(why, "%s cannot be spread", path);
  close(fd);
  return done < 0 ? -1 : 0;
}
