"""Tries in every way to make a file that runs with the rights of its owner or its group."""
import ctypes
import os
import platform
import socket
import subprocess

libc = ctypes.CDLL(None, use_errno=True)
OPENAT2, FCHMODAT2 = 437, 452
OPEN, CREAT, MKNOD = {'x86_64': (2, 85, 133), 'aarch64': (None, None, None)}[platform.machine()]
AT_FDCWD, MAKE = -100, os.O_CREAT | os.O_WRONLY
count = 0


def named():
    global count
    count += 1
    return f'file{count}'


def there():
    name = named()
    open(name, 'w').close()
    return name


def call(number, *args):
    if number is not None:
        libc.syscall(number, *args)


os.umask(0)
for bits in 0o4755, 0o2755, 0o6755:
    how = ctypes.create_string_buffer(
        MAKE.to_bytes(8, 'little') + bits.to_bytes(8, 'little') + bytes(8), 24)
    ways = [
        lambda: os.chmod(there(), bits),
        lambda: os.fchmod(os.open(there(), os.O_RDWR), bits),
        lambda: os.chmod(there(), bits, dir_fd=os.open('.', os.O_RDONLY)),
        lambda: os.close(os.open(named(), MAKE, bits)),
        lambda: os.close(os.open('.', os.O_TMPFILE | os.O_RDWR, bits)),
        lambda: os.mknod(named(), bits | 0o100000),
        lambda: os.mkfifo(named(), bits),
        lambda: os.mkdir(named(), bits),
        lambda: call(OPEN, named().encode(), MAKE, bits),
        lambda: call(CREAT, named().encode(), bits),
        lambda: call(MKNOD, named().encode(), bits | 0o100000, 0),
        lambda: call(FCHMODAT2, AT_FDCWD, there().encode(), bits, 0),
        lambda: call(OPENAT2, AT_FDCWD, named().encode(), how, 24),
        lambda: bound(bits),
        lambda: subprocess.run(['chmod', oct(bits)[2:], there()], stderr=subprocess.DEVNULL),
        lambda: subprocess.run(['install', '-m', oct(bits)[2:], '/bin/sh', named()], stderr=subprocess.DEVNULL),
        lambda: subprocess.run(['mkdir', '-m', oct(bits)[2:], named()], stderr=subprocess.DEVNULL),
    ]

    def bound(mode):
        unix = socket.socket(socket.AF_UNIX)
        os.fchmod(unix.fileno(), mode)
        unix.bind(named())

    for way in ways:
        try:
            way()
        except OSError:
            pass
# Operations that programs need still work.
os.chmod(there(), 0o1755)
os.close(os.open('made', MAKE, 0o640))
os.mkdir('folder', 0o1777)
print(f'TRIED {count}')
