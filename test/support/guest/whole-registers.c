/*
 * For user-mode Linux on a processor with more registers than it knows (AMX). The machine only accepts the complete set of
 * registers, so the ones that the guest's kernel sets are merged into all that the process has.
 */
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NT_X86_XSTATE 0x202

long ptrace(enum __ptrace_request request, ...) {
  static char all[65536];
  __builtin_va_list words;
  __builtin_va_start(words, request);
  long pid = __builtin_va_arg(words, long);
  void *address = __builtin_va_arg(words, void *);
  void *data = __builtin_va_arg(words, void *);
  __builtin_va_end(words);
  pid = (int)pid;
  if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
    long word;
    if (syscall(SYS_ptrace, request, pid, address, &word) < 0) return -1;
    errno = 0;
    return word;
  }
  if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE) {
    struct iovec *given = data, whole = {all, sizeof all};
    if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, address, &whole) == 0 && given->iov_len < whole.iov_len) {
      memcpy(all, given->iov_base, given->iov_len);
      return syscall(SYS_ptrace, request, pid, address, &whole);
    }
  }
  return syscall(SYS_ptrace, request, pid, address, data);
}
