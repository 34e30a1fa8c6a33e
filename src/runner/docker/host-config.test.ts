import assert from 'node:assert/strict'
import test from 'node:test'
import { type BaseImage, baseImage, dockerHere } from '../../../test/support/docker/docker.ts'
import { DockerApi } from '../../../test/support/docker/docker-api.ts'
import { dockerUnderTest } from '../../../test/support/docker/docker-under-test.ts'
import { healthcheck } from './host-config.ts'

const skip = await dockerHere()
const MiB = 1024 ** 2

/** Call numbers are the same on all architectures since io_uring. */
const REFUSED = `
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
for name, number in ('io_uring_setup', 425), ('io_uring_enter', 426), ('io_uring_register', 427):
    print(name, libc.syscall(number, 1, 0, 0, 0, 0, 0), errno.errorcode[ctypes.get_errno()])
for name, family in ('AF_VSOCK', 40), ('AF_ALG', 38):
    try: socket.socket(family, socket.SOCK_STREAM); print(name, 'open')
    except OSError as error: print(name, errno.errorcode[error.errno])
# The same by the 32-bit call for sockets, which a filter cannot look into.
def old_call():
    libc.mmap.restype = ctypes.c_void_p
    arguments, code = (libc.mmap(None, 4096, 7, 0x62, -1, 0) for _ in range(2))
    ctypes.memmove(arguments, b'\\x28\\0\\0\\0\\1\\0\\0\\0\\0\\0\\0\\0', 12)
    ctypes.memmove(code, bytes.fromhex('53b866000000bb0100000089f9cd805bc3'), 17)
    os._exit(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint)(code)(arguments) >= 0)
if os.uname().machine == 'x86_64':
    child = os.fork()
    if child == 0: old_call()
    print('AF_VSOCK by an old call', 'open' if os.waitpid(child, 0)[1] == 256 else 'refused')
else: print('AF_VSOCK by an old call refused')
os.close(os.open('/tmp/file', os.O_CREAT | os.O_WRONLY, 0o644))
for mode in 0o4755, 0o2755, 0o1755:
    try: os.chmod('/tmp/file', mode); print(oct(mode), 'made')
    except OSError as error: print(oct(mode), errno.errorcode[error.errno])
for name in 'slabinfo', 'vmallocinfo': print(name, len(open('/proc/' + name).read()))
import ssl, subprocess, threading, multiprocessing, asyncio, sqlite3
thread = threading.Thread(target=print, args=('thread',)); thread.start(); thread.join()
print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())
async def serve():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), '127.0.0.1', 0)
    await asyncio.open_connection(*server.sockets[0].getsockname()); print('served')
asyncio.run(serve())`

const NODE = `
const { Worker } = require('node:worker_threads')
new Worker('require("node:worker_threads").parentPort.postMessage("thread")', { eval: true }).on('message', (text) => {
  console.log(text, require('node:child_process').execSync('echo child').toString().trim())
  require('node:net').createServer().listen(0, function () { console.log('served'); this.close() })
})`

const S = 1e9
const order = { intervalSeconds: 7, timeoutSeconds: 2, retries: 4, startPeriodSeconds: 9 }

test('a bot cannot set up io_uring, use kernel or VM sockets, or make setuid files', {
  skip,
}, async (t) => {
  const here = await dockerUnderTest(t)
  await here.engine.prepareNetwork()
  const run = async (image: BaseImage, command: string[]) => {
    const { id } = await here.engine.create({
      name: `${here.runner}-${command[0]}`,
      image: await baseImage(image),
      command,
      env: {},
      limits: { memoryBytes: 256 * MiB, cpus: 1, processes: 50, tmpBytes: MiB },
      logBytes: MiB,
      stopGraceSeconds: 1,
      labels: { runner: here.runner },
    })
    await here.engine.start(id)
    let printed = ''
    const signal = new AbortController().signal
    for await (const { bytes } of here.engine.logs(id, { follow: true, signal })) printed += bytes
    const { HostConfig } = await new DockerApi().getContainer(id).inspect()
    return { printed, options: HostConfig.SecurityOpt as string[] }
  }
  const { printed, options } = await run('python:3.11-slim', ['python3', '-c', REFUSED])
  assert.equal(
    printed,
    `io_uring_setup -1 EPERM
io_uring_enter -1 EPERM
io_uring_register -1 EPERM
AF_VSOCK EPERM
AF_ALG EPERM
AF_VSOCK by an old call refused
0o4755 EPERM
0o2755 EPERM
0o1755 made
slabinfo 0
vmallocinfo 0
thread
child
served
`,
  )
  const profile = options.find((option) => option.startsWith('seccomp='))!
  assert.equal(JSON.parse(profile.slice('seccomp='.length)).defaultAction, 'SCMP_ACT_ERRNO')
  assert.ok(!/io_uring/.test(profile))
  assert.equal((await run('node:20-slim', ['node', '-e', NODE])).printed, 'thread child\nserved\n')
})

test("an ordered check precedes the image's, and ordering none means none", () => {
  const image = { Test: ['CMD', 'old'], Interval: 60 * S }
  const times = { Interval: 7 * S, Timeout: 2 * S, Retries: 4, StartPeriod: 9 * S }
  assert.deepEqual(healthcheck({ ...order, cmd: 'curl x | grep y' }, image), {
    Test: ['CMD-SHELL', 'curl x | grep y'],
    ...times,
  })
  assert.deepEqual(healthcheck({ ...order, cmd: ['/check', 'a b'] }, image), {
    Test: ['CMD', '/check', 'a b'],
    ...times,
  })
  assert.deepEqual(healthcheck('none', image), { Test: ['NONE'] })
})

test("an image's check counts within limits, and an image without one has none", () => {
  const fast = { Test: ['CMD-SHELL', 'true'], Interval: 1e6, Timeout: 1e6, Retries: 1e9, StartPeriod: 1e18 }
  assert.deepEqual(healthcheck(undefined, fast), {
    Test: ['CMD-SHELL', 'true'],
    Interval: 5 * S,
    Timeout: S,
    Retries: 1000,
    StartPeriod: 86_400 * S,
  })
  assert.deepEqual(healthcheck(undefined, { Test: ['CMD', 'a'] }), {
    Test: ['CMD', 'a'],
    Interval: 30 * S,
    Timeout: 30 * S,
    Retries: 3,
    StartPeriod: 0,
  })
  for (const none of [undefined, null, {}, { Test: [] }, { Test: ['NONE'] }])
    assert.deepEqual(healthcheck(undefined, none), { Test: ['NONE'] })
})
