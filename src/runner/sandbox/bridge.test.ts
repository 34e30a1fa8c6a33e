import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import { type Bridge, bridged, findBridge } from './bridge.ts'

interface Ended {
  code: number
  stdout: string
  stderr: string
}

/**
 * Runs a script in separate namespaces, with a bridge to a socket that `answer` serves; with `after`, once that file
 * exists.
 */
async function inBox(
  t: TestContext,
  bridge: Bridge,
  script: string,
  answer?: (socket: Socket) => void,
  after?: string,
): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-bridge-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const inside = join(folder, 'in')
  mkdirSync(inside)
  const server = createServer({ allowHalfOpen: true }, (socket) => answer?.(socket))
  const listen = async () => {
    server.listen(join(inside, 'proxy'))
    await once(server, 'listening')
    t.after(() => server.close())
  }
  if (after !== undefined) void until(() => existsSync(join(inside, after))).then(listen)
  else if (answer) await listen()
  const args = [
    '--unshare-all',
    '--die-with-parent',
    '--ro-bind',
    '/',
    '/',
    '--dev',
    '/dev',
    '--proc',
    '/proc',
  ]
  const mounts = ['--tmpfs', '/run', '--bind', inside, '/run/errand']
  return await new Promise((resolve) => {
    execFile(
      'bwrap',
      [...args, ...mounts, ...bridged(bridge, ['/bin/bash', '-c', script])],
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    )
  })
}

const kinds: readonly [string, Bridge][] = [
  ['socat', findBridge()],
  ['Node', findBridge('/nonexistent/socat')],
]

for (const [name, bridge] of kinds) {
  test(`a bridge of ${name} is up when the program starts, which has no child and no stream of it`, async (t) => {
    const script = `
      exec 3<>/dev/tcp/127.0.0.1/3128
      echo hello >&3
      read -r answer <&3
      echo "$answer"
      cat /proc/$$/task/$$/children | wc -w
      env | grep -c errand_
      mine=$(readlink /proc/$$/fd/1)
      for process in /proc/[0-9]*; do
        case $process in /proc/1|/proc/$$) continue ;; esac
        for fd in "$process"/fd/*; do [ "$(readlink "$fd")" = "$mine" ] && echo "$process holds it"; done
      done
      true`
    const { code, stdout, stderr } = await inBox(t, bridge, script, (socket) => socket.pipe(socket))
    const [answer, children, variables, ...held] = stdout.trim().split('\n')
    assert.deepEqual([code, stderr, answer, variables, held], [0, '', 'hello', '0', []])
    // The children are those of the pipeline that counts them.
    assert.ok(Number(children) <= 2, children)
  })

  test(`a bridge of ${name} passes on what comes after one end has half closed`, async (t) => {
    const size = 3_000_000
    const script = `exec python3 -c '
import socket, hashlib
s = socket.create_connection(("127.0.0.1", 3128))
s.sendall(b"a" * ${size})
s.shutdown(socket.SHUT_WR)
got = 0
while True:
    more = s.recv(65536)
    if not more: break
    got += len(more)
print(got)'`
    const { stdout, stderr } = await inBox(t, bridge, script, (socket) => {
      void buffer(socket).then(async (all) => {
        // Sleeps: socat ends by itself half a second after one side has closed; the answer must come later.
        await new Promise((resolve) => setTimeout(resolve, 700))
        socket.end(Buffer.concat([all, all]))
      })
    })
    assert.deepEqual([stdout.trim(), stderr], [String(2 * size), ''])
  })
}

for (const [name, bridge] of kinds)
  test(`a bridge of ${name} waits for a proxy that is not there yet, and loses nothing`, async (t) => {
    const script = `
      exec 3<>/dev/tcp/127.0.0.1/3128
      echo hello >&3
      touch /run/errand/asked
      read -r answer <&3
      echo "$answer"`
    const { code, stdout } = await inBox(t, bridge, script, (socket) => socket.pipe(socket), 'asked')
    assert.deepEqual([code, stdout], [0, 'hello\n'])
  })

test('a bridge that cannot start is reported at once, and the program does not start', async (t) => {
  const broken = { command: ['/nonexistent/bridge'], readable: [] }
  const { code, stdout, stderr } = await inBox(t, broken, 'echo begun')
  assert.deepEqual([code, stdout], [126, ''])
  assert.match(stderr, /could not be opened \(\/nonexistent\/bridge\)/)
})
