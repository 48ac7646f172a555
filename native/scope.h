/* The scope helper: makes the namespaces of sandboxes, and starts programs in them. See docs/helper.md. */
#ifndef SCOPE_H
#define SCOPE_H

#include <stddef.h>
#include <sys/types.h>

/* A sentence of ours, or what the system says of the last call, as the one line that a peer is told. */
struct failure {
  char text[4608];
};
/* Both give -1, so that a caller can return what they give. */
int fail(struct failure *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
int fail_errno(struct failure *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* wire.c: messages are a length (u32, little endian) and that many bytes: words, each ended by a zero byte. */
#define MESSAGE_MOST (1u << 20)
struct words {
  char **word;
  size_t count;
};
/* Adds what can be read. 0: the peer is gone, -1: what it sends is no message. */
int wire_read(int fd);
/* The next whole message, if there is one: 1, else 0; -1 if what came is none. It holds until the next call, and behind its words is NULL. */
int wire_next(struct words *into);
/* Sends words, the last argument being NULL. -1 if nobody reads. */
int wire_send(int fd, ...) __attribute__((sentinel));
/* Sends two words, and behind them words that stand in `length` bytes already. */
int wire_send_all(int fd, const char *id, const char *word, const char *bytes, size_t length);

/* mounts.c: performs the instructions words[at..], in the mount namespace of this process. */
int mounts_make(const struct words *words, size_t at, struct failure *why);

/* net.c */
int net_up(struct failure *why);
/* A socket that listens on 127.0.0.1 of the network of this process. */
int net_listen(unsigned port, struct failure *why);
/* Hands a listening socket to the Node process at the other end of its channel, with the word by which it asked. */
int net_hand_over(int channel, int socket, const char *id);

/* drop.c: what a program in a sandbox must not have. */
int drop_privileges(struct failure *why);
/* With `listener`, which it sets: who has that is asked before each rename (renames.c). */
int drop_syscalls(int *listener, struct failure *why);
/* Whether there can be one. */
int can_hear_calls(void);
/* For process 1: it can use no right any more, and keeps one that no program beside it has. So none of them may trace it, and
   undo its death with the helper, or write through it to the program that it runs. If it `looks`, it can read what they hold. */
int drop_use(int looks, struct failure *why);
/* Closes all descriptors from `first` on. */
void close_from(int first);

/* wall.c: from now on this process and its children write to what was granted alone. A grant is `+` and a path, for all that lies there,
   or `~` and a path, for writing to what is there already. Does nothing where the kernel has no Landlock that fits. */
int wall(char *const *grants, size_t count, struct failure *why);
/* The version of the kernel's Landlock; 0 where there is none that fits. */
int wall_version(void);

/* hold.c */
struct quiet;
struct holder {
  pid_t pid;
  int listener;
  struct quiet *quiet;
};
/* Starts process 1 of a new sandbox; at return all is mounted. `port` 0: the network of this process. `renames`: it looks after them. */
int hold_start(const struct words *words, size_t at, unsigned port, int renames, char *name, size_t room, struct holder *into,
               struct failure *why);
int enter_user_namespace(struct failure *why);
int in_user_namespace(void);

/* renames.c: renames of directories that an ordinary user's overlays refuse. */
/* Finds out whether they can be looked after here. Until then they are not. */
int renames_try(void);
int renames_possible(void);
/* What the helper and the process 1 that it makes next have in common; to be given up by it. */
struct quiet *renames_quiet(void);
void renames_quiet_end(struct quiet *quiet);
/* Says how many want process 1 to leave all as the commands have left it; tells whether it is so. Until then it is to be asked again. */
int renames_want(struct quiet *quiet, int wanted);
/* For process 1: makes the way by which it gets what hears the calls of a command, at two descriptors. */
int renames_ready(struct failure *why);
/* Closes all descriptors from 3 on but these. */
void renames_close_others(void);
/* Reaps, and looks after renames, as long as it lives. */
void renames_serve(void) __attribute__((noreturn));
/* For `enter`: the way into process 1, by its number outside; `file` is one of its namespaces. */
int renames_way(const char *pid, int file, struct failure *why);
/* Gives process 1 what hears the calls of the command that is about to begin, closes both, and waits until it may. */
int renames_hand_over(int way, int listener, struct failure *why);

/* overlay.c */
int own_mounts(struct failure *why);
/* For process 1 of a sandbox: mounts of its own, as those of the host, without the overlays of all the others, of which there may be thousands. */
int bare_mounts(struct failure *why);
/* Shows directories as one, by words[at..]: where, the one that is written to, room for the kernel, and those below, the first over the next. */
int overlay_mount(const struct words *words, size_t at, struct failure *why);
int overlay_unmount(const char *at, struct failure *why);

/* changed.c: `since` in ns. It answers itself, but where it fails. */
int changed_since(const char *id, const char *path, long long since, struct failure *why);

/* spread.c: what is made in a directory from then on lies apart on the disk. Fails where a file system knows no such thing. */
int spread(const char *path, struct failure *why);

/* remove.c: starts a process that takes out what is in a directory, but for what is mounted there or cannot be removed. */
pid_t remove_start(const char *path, struct failure *why);

/* run.c: descriptors of a program: its three, and those of launch (see enter.c). */
#define RUN_HELD 5
/* Once, for the process that is served: -1 where its descriptors cannot be taken over. */
int run_prepare(pid_t parent);
/* Starts a program in a sandbox, behind grants where some stand before it, with these descriptors of the process that is served, or `-` for none. */
pid_t run_start(pid_t holder, char *const *numbers, char **program, struct failure *why);

/* enter.c: says a sentence to who started it. */
int give_up(const char *text);
/* In a sandbox, gives up what must not be had there, goes behind the wall where there are grants, tells process 1 by `way` (or -1) to look after its
   renames, and becomes a program (a list that ends with NULL) or, without one, what is to be launched. Gives the exit code where that fails. */
int become(int session, int way, char *const *grants, size_t granted, char **program);

int serve(int argc, char **argv);
int enter(int argc, char **argv);

#endif
