#include "scope.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fail(struct failure *why, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(why->text, sizeof why->text, format, arguments);
  va_end(arguments);
  return -1;
}

int fail_errno(struct failure *why, const char *format, ...) {
  int error = errno;
  va_list arguments;
  va_start(arguments, format);
  int used = vsnprintf(why->text, sizeof why->text, format, arguments);
  va_end(arguments);
  if (used >= 0 && (size_t)used < sizeof why->text)
    snprintf(why->text + used, sizeof why->text - used, ": %s", strerror(error));
  return -1;
}

/* What has come and is no whole message yet, from `start` on. */
static struct {
  unsigned char *bytes;
  size_t start, end, room;
} in;
static char **table;
static size_t table_room;

int wire_read(int fd) {
  if (in.start > 0) {
    memmove(in.bytes, in.bytes + in.start, in.end - in.start);
    in.end -= in.start;
    in.start = 0;
  }
  if (in.room - in.end < 65536) {
    /* One message that is not whole, and as much behind it as is read at once. */
    size_t most = MESSAGE_MOST + 4 + 65536, room = 2 * in.room < 65536 ? 65536 : 2 * in.room;
    if (room > most) room = most;
    unsigned char *grown = realloc(in.bytes, room);
    if (!grown) return -1;
    in.bytes = grown;
    in.room = room;
  }
  ssize_t got;
  do got = read(fd, in.bytes + in.end, in.room - in.end);
  while (got < 0 && errno == EINTR);
  if (got < 0) return errno == EAGAIN ? 1 : 0;
  in.end += (size_t)got;
  return got > 0;
}

int wire_next(struct words *into) {
  if (in.end - in.start < 4) return 0;
  const unsigned char *head = in.bytes + in.start;
  uint32_t length = head[0] | head[1] << 8 | head[2] << 16 | (uint32_t)head[3] << 24;
  if (length == 0 || length > MESSAGE_MOST) return -1;
  if (in.end - in.start - 4 < length) return 0;
  char *text = (char *)head + 4;
  if (text[length - 1] != 0) return -1;
  in.start += 4 + length;
  into->count = 0;
  for (size_t at = 0; at < length; at += strlen(text + at) + 1) {
    if (into->count + 1 >= table_room) {
      size_t room = table_room ? 2 * table_room : 64;
      char **grown = realloc(table, room * sizeof *table);
      if (!grown) return -1;
      table = grown;
      table_room = room;
    }
    table[into->count++] = text + at;
  }
  table[into->count] = NULL;
  into->word = table;
  return 1;
}

static int write_whole(int fd, const void *bytes, size_t length) {
  for (size_t sent = 0; sent < length;) {
    ssize_t wrote = write(fd, (const char *)bytes + sent, length - sent);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) {
      struct pollfd ready = {.fd = fd, .events = POLLOUT};
      poll(&ready, 1, -1);
      continue;
    }
    if (wrote <= 0) return -1;
    sent += (size_t)wrote;
  }
  return 0;
}

static void put_length(unsigned char *at, size_t length) {
  for (int i = 0; i < 4; i++) at[i] = (unsigned char)(length >> 8 * i);
}

int wire_send(int fd, ...) {
  static unsigned char out[8192];
  size_t length = 4;
  va_list words;
  va_start(words, fd);
  for (const char *word; (word = va_arg(words, const char *));) {
    size_t size = strlen(word) + 1;
    if (length + size > sizeof out) size = sizeof out - length;
    if (size == 0) break;
    memcpy(out + length, word, size);
    out[length + size - 1] = 0;
    length += size;
  }
  va_end(words);
  put_length(out, length - 4);
  return write_whole(fd, out, length);
}

int wire_send_all(int fd, const char *id, const char *word, const char *bytes, size_t length) {
  unsigned char head[64];
  int words = snprintf((char *)head + 4, sizeof head - 4, "%s%c%s", id, 0, word);
  if (words < 0 || (size_t)words + 5 > sizeof head) return -1;
  put_length(head, (size_t)words + 1 + length);
  return write_whole(fd, head, (size_t)words + 5) < 0 ? -1 : write_whole(fd, bytes, length);
}
