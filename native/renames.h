#ifndef RENAMES_H
#define RENAMES_H

#include <sys/types.h>

/*
 * still.c: stops all threads of the sandbox but those that `waits` names, which wait for an answer of ours. 1 if they stand, 0 if some
 * did not within `window` (ms), -1 if one cannot be stopped by us. In each case all go on at still_end. Where no
 * process may trace another it is not possible.
 */
int still_possible(void);
int still_begin(int (*waits)(pid_t tid), long window);
void still_end(void);
/* While all stands still: 1 if a process stands in a directory or below, or has one there open as a directory; -1 if that cannot be known. */
int still_inside(int dir);
/* ms of a clock that nobody sets. */
long still_clock(void);
/* Takes in what children and traced threads tell; those that have stood still late go on. */
void still_collect(void);

/* move.c */
/* Whether the kernel would not rename directory `name` of `parent` since a layer below has it. To be asked while all stands still. */
int move_refused(int parent, const char *name);
/* Has the kernel copy the files below `name` to the upper layer, beside those that use them, as long as `waits`. */
void move_warm(int parent, const char *name, int (*waits)(const void *), const void *who);
/* Makes `name` a directory that the upper layer alone has, while all stands still. Where it cannot be done, all is as it was. -1 if perhaps later it can. */
int move_up(int parent, const char *name);

#endif
