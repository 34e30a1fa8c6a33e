"""Tries from inside of a box to have the command it is part of end well: each thing that worked is a line with REACHED."""
import ctypes
import os
import platform
import signal
import stat
import sys

# The code of exit_group(0), to write into another process.
EXITS = {
    'x86_64': bytes.fromhex('31ffb8e70000000f05'),
    'aarch64': bytes.fromhex('e0031faac80b80d2010000d4'),
}[platform.machine()]
PTRACE, VM_WRITEV = {'x86_64': (101, 311), 'aarch64': (117, 271)}[platform.machine()]
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
OWN_STREAMS = {os.fstat(fd).st_ino for fd in range(3)}
libc = ctypes.CDLL(None, use_errno=True)
tried = 0


def reached(what):
    print(f'REACHED {what}', flush=True)


def name_of(pid):
    try:
        return open(f'/proc/{pid}/comm').read().strip() + f' ({pid})'
    except OSError:
        return f'? ({pid})'


def others():
    return [int(name) for name in os.listdir('/proc') if name.isdigit() and int(name) != os.getpid()]


def memory(pid):
    global tried
    tried += 1
    try:
        with open(f'/proc/{pid}/mem', 'r+b', 0) as file:
            reached(f'the memory of {name_of(pid)}')
            at = int(open(f'/proc/{pid}/syscall').read().split()[-1], 16)
            file.seek(at)
            file.write(EXITS)
    except OSError:
        pass


def say(path, what):
    global tried
    tried += 1
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        os.write(fd, b'done 0\n')
        reached(what)
    except OSError:
        pass


def pipes(pid):
    try:
        names = os.listdir(f'/proc/{pid}/fd')
    except OSError:
        return
    # The first three are the standard streams.
    for name in sorted(names, key=int)[3:]:
        path = f'/proc/{pid}/fd/{name}'
        try:
            info = os.stat(path)
        except OSError:
            continue
        if stat.S_ISFIFO(info.st_mode) and info.st_ino not in OWN_STREAMS:
            say(path, f'the pipe {name} of {name_of(pid)}')


def attack():
    global tried
    for folder in '/run/errand-io', '/run/errand', '/run':
        if not os.path.isdir(folder):
            continue
        for name in os.listdir(folder):
            path = f'{folder}/{name}'
            info = os.lstat(path)
            if stat.S_ISFIFO(info.st_mode) and info.st_ino not in OWN_STREAMS:
                say(path, path)
                for act, how in (lambda: os.chmod(path, 0o600), 'a mode'), (lambda: os.unlink(path), 'unlinking'):
                    tried += 1
                    try:
                        act()
                        reached(f'{how} of {path}')
                    except OSError:
                        pass
    for pid in others():
        pipes(pid)
        for request in PTRACE_ATTACH, PTRACE_SEIZE:
            tried += 1
            if libc.syscall(PTRACE, request, pid, 0, 0) == 0:
                reached(f'ptrace of {name_of(pid)}')
        tried += 1
        if libc.syscall(VM_WRITEV, pid, 0, 0, 0, 0, 0) >= 0:
            reached(f'process_vm_writev of {name_of(pid)}')
    # This comes last, because a process that it changes ends.
    for pid in others():
        memory(pid)
    memory(os.getpid())
    print(f'TRIED {tried}', flush=True)


# A process that handles one of these must not treat it as an end.
HANDLED = ['HUP', 'INT', 'QUIT', 'USR1', 'USR2', 'ALRM', 'PIPE', 'TERM', 'CHLD', 'CONT', 'WINCH', 'URG']


def signals(names):
    for name in names:
        signal.signal(getattr(signal, f'SIG{name}'), signal.SIG_IGN) if name != 'KILL' else None
    for pid in sorted(others(), reverse=True):
        for name in names:
            try:
                os.kill(pid, getattr(signal, f'SIG{name}'))
            except OSError:
                pass


if sys.argv[1] == 'attack':
    attack()
else:
    signals(HANDLED if sys.argv[1] == 'handled' else [sys.argv[1]])
