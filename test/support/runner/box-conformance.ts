import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ChildWith, spawnGroup } from '../../../src/platform/child-tree.ts'
import { listProcesses } from '../../../src/platform/proc.ts'
import type { Box, BoxMounts } from '../../../src/runner/sandbox/box.ts'
import type { Launch } from '../../../src/runner/sandbox/launch.ts'

/** The part of a kind of box that differs from other kinds. */
export interface BoxKind {
  /** The reason to skip, or false. */
  skip: string | false
  /** Opens a box with its files in that folder and without the `hidden` folders. It is removed with the test. */
  open(t: TestContext, folder: string, hidden: readonly string[]): Promise<Box>
}

interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: Buffer
  stderr: Buffer
}

type Piped = ChildWith<'stdin' | 'stdout' | 'stderr'>

/** A box with a prepared workspace. */
class BoxUnderTest {
  readonly dir: string
  readonly workspace: string
  readonly hidden: string
  box!: Box
  #count = 0

  private constructor(dir: string) {
    this.dir = dir
    this.workspace = join(dir, 'workspace')
    this.hidden = join(dir, 'hidden')
    for (const folder of [this.workspace, this.hidden]) mkdirSync(folder)
    writeFileSync(join(this.hidden, 'token'), 'of-the-hub')
  }

  static async open(t: TestContext, kind: BoxKind): Promise<BoxUnderTest> {
    const dir = mkdtempSync(join(tmpdir(), 'errand-box-'))
    const under = new BoxUnderTest(dir)
    t.after(async () => {
      await under.box?.end()
      rmSync(dir, { recursive: true, force: true })
    })
    under.box = await kind.open(t, join(dir, 'box'), [under.hidden])
    await under.box.prepare()
    return under
  }

  launch(script: string, env: Record<string, string> = {}, ...args: string[]): Launch {
    const PATH = '/usr/local/bin:/usr/bin:/bin'
    return { argv: ['sh', '-c', script, 'sh', ...args], cwd: this.workspace, env: { PATH, ...env } }
  }

  enclose(launch: Launch, mounts: Partial<BoxMounts> = {}): Launch {
    const { writable = [this.workspace], readable = [] } = mounts
    return this.box.enclose(launch, { writable, readable }, `test${++this.#count}`)
  }

  /** Starts the command with pipes. */
  begin(launch: Launch, mounts?: Partial<BoxMounts>): Piped {
    const { argv, cwd, env } = this.enclose(launch, mounts)
    return spawnGroup<'stdin' | 'stdout' | 'stderr'>(argv, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] })
  }

  async run(launch: Launch, mounts?: Partial<BoxMounts>): Promise<Ended> {
    const child = this.begin(launch, mounts)
    child.stdin.end()
    return await ended(child)
  }

  /** Returns everything that a script prints. The script must succeed. */
  async prints(script: string, mounts?: Partial<BoxMounts>): Promise<string> {
    const { code, stdout, stderr } = await this.run(this.launch(script), mounts)
    assert.equal(code, 0, `${stdout}${stderr}`)
    return stdout.toString()
  }

  /** Runs the command with its output in files, as attempts do. */
  async runIntoFiles(launch: Launch): Promise<Ended> {
    const { argv, cwd, env } = this.enclose(launch)
    const [out, err] = [join(this.dir, 'out'), join(this.dir, 'err')]
    const stdio = ['ignore', openSync(out, 'w', 0o600), openSync(err, 'w', 0o600)] as const
    const child = spawnGroup(argv, { cwd, env, stdio: [...stdio] })
    const [code, signal] = await once(child, 'exit')
    return { code, signal, stdout: readFileSync(out), stderr: readFileSync(err) }
  }
}

async function ended(child: Piped): Promise<Ended> {
  const closed = once(child, 'close')
  const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr)])
  const [code, signal] = await closed
  return { code, signal, stdout, stderr }
}

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await sleep(10)
}

/** Reads to the end, with a pause before each of the first pieces. */
async function readSlowly(stream: Readable): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of stream) {
    pieces.push(piece as Buffer)
    // Sleeps: the test is about a reader that is slower than the writer.
    if (pieces.length < 50) await sleep(5)
  }
  return Buffer.concat(pieces)
}

/** Reports whether a process has this text, which is unique, in its command line. */
const lineOf = (marker: string): boolean =>
  (listProcesses() ?? []).some(({ pid }) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(marker)
    } catch {
      return false
    }
  })

/** Checks what every kind of box does. */
export function boxConformance(name: string, kind: BoxKind): void {
  const { skip } = kind
  const boxTest = (what: string, body: (under: BoxUnderTest, t: TestContext) => Promise<void>) =>
    test(`${name}: ${what}`, { skip }, async (t) => await body(await BoxUnderTest.open(t, kind), t))

  boxTest('a program has its arguments, folder, input, streams and exit code', async (under) => {
    const script = 'cat; pwd; printf "%s|" "$@"; echo to-stderr >&2; exit 7'
    const child = under.begin(under.launch(script, {}, "it's", 'a "b"', '$HOME\n*', ''))
    child.stdin.end('from outside\n')
    const { code, stdout, stderr } = await ended(child)
    assert.equal(code, 7)
    assert.equal(stdout.toString(), `from outside\n${under.workspace}\nit's|a "b"|$HOME\n*||`)
    assert.equal(stderr.toString(), 'to-stderr\n')
  })

  boxTest('a program answers while its input stays open, and sees its end', async (under) => {
    const child = under.begin(under.launch('while read -r line; do echo "got $line"; done; echo over'))
    const lines = child.stdout.setEncoding('utf8').iterator()
    const nextLine = async () => String((await lines.next()).value)
    child.stdin.write('one\n')
    assert.equal(await nextLine(), 'got one\n')
    child.stdin.write('two\n')
    assert.equal(await nextLine(), 'got two\n')
    child.stdin.end()
    assert.equal(await nextLine(), 'over\n')
    assert.deepEqual(await once(child, 'exit'), [0, null])
  })

  const MANY = 'i=0; while [ $i -lt 40000 ]; do echo "line $i of what is put out"; i=$((i+1)); done'
  const many = Array.from({ length: 40_000 }, (_, i) => `line ${i} of what is put out\n`).join('')
  const digest = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

  boxTest('no byte is lost to a slow reader, or by a quick end', async (under) => {
    const child = under.begin(under.launch(`${MANY}; echo last >&2`))
    child.stdin.end()
    const [stdout, stderr] = await Promise.all([readSlowly(child.stdout), buffer(child.stderr)])
    assert.equal(digest(stdout), digest(many))
    assert.equal(stderr.toString(), 'last\n')
  })

  boxTest('output into files is as large, and in order', async (under) => {
    const { code, stdout, stderr } = await under.runIntoFiles(under.launch(`${MANY}; echo last >&2; exit 3`))
    assert.deepEqual([code, digest(stdout), stderr.toString()], [3, digest(many), 'last\n'])
  })

  boxTest('binary data pass through unchanged', async (under) => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    const child = under.begin(under.launch('cat'))
    Readable.from([bytes]).pipe(child.stdin)
    assert.deepEqual((await ended(child)).stdout, bytes)
  })

  boxTest('a signal that killed the program is reported as a shell reports it', async (under) => {
    const { code } = await under.run(under.launch('kill -9 $$'))
    assert.equal(code, 137)
  })

  boxTest('SIGTERM reaches the program, which has time for its last words', async (under) => {
    const child = under.begin(
      under.launch('trap "echo bye; exit 5" TERM; echo up; while :; do sleep 0.05; done'),
    )
    const first = once(child.stdout, 'data')
    assert.equal(String(await first), 'up\n')
    const rest = buffer(child.stdout)
    const group = (listProcesses() ?? []).filter((one) => one.group === child.pid).map(({ pid }) => pid)
    for (const pid of [...group, ...under.box.members()])
      try {
        if (!under.box.spares(pid)) process.kill(pid, 'SIGTERM')
      } catch (error) {
        // One of its `sleep` processes may have ended since.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    const [code] = await once(child, 'exit')
    assert.equal(code, 5)
    assert.equal((await rest).toString(), 'bye\n')
  })

  boxTest('the box has its folders at their own paths, and nothing else of the machine', async (under) => {
    const lent = join(under.dir, 'lent')
    mkdirSync(lent)
    writeFileSync(join(lent, 'file'), 'lent\n')
    const script = `cat ${lent}/file; echo new >made; ls ${under.hidden} 2>/dev/null
      (echo x >${lent}/file) 2>/dev/null && echo written; (echo x >/usr/x) 2>/dev/null && echo usr
      ls -A ${under.dir}; ls /root 2>/dev/null; ls /home; test -e /var/run/docker.sock && echo engine; true`
    const output = await under.prints(script, { readable: [lent] })
    assert.deepEqual(output.trim().split('\n').sort(), ['errand', 'lent', 'lent', 'workspace'])
    assert.equal(readFileSync(join(under.workspace, 'made'), 'utf8'), 'new\n')
    assert.equal(readFileSync(join(lent, 'file'), 'utf8'), 'lent\n')
  })

  boxTest('folders of the hub are not in the box, even if the folders around them are', async (under) => {
    const output = await under.prints(`ls -A ${under.hidden}; cat ${under.hidden}/token || echo none`, {
      writable: [under.workspace, under.dir],
    })
    assert.equal(output.trim(), 'none')
  })

  boxTest(
    'the variables are those of the launch, and the box has its own HOME and /tmp',
    async (under, t) => {
      process.env.ERRAND_TEST_OUTSIDE = 'secret-of-the-runner'
      t.after(() => delete process.env.ERRAND_TEST_OUTSIDE)
      const env = { STEP_VALUE: "a 'quoted'\nvalue", HOME: '/root' }
      const script =
        'printf "%s\\n" "$STEP_VALUE"; env; echo home >"$HOME/a"; echo tmp >"$TMPDIR/a"; touch /tmp/b'
      const { stdout, code, stderr } = await under.run(under.launch(script, env))
      assert.equal(code, 0, String(stderr))
      const output = stdout.toString()
      assert.ok(output.startsWith("a 'quoted'\nvalue\n"), output)
      assert.doesNotMatch(output, /secret-of-the-runner|HOME=\/root/)
      assert.ok(!existsSync('/tmp/b'))
    },
  )

  boxTest('files in memory are limited: /tmp, /dev/shm and the home', async (under) => {
    const output = await under.prints(
      'for each in /tmp /dev/shm "$HOME"; do set -- $(df -kP "$each" | tail -n 1); echo "$2 $6"; done',
    )
    const sizes = output.trim().split('\n')
    assert.equal(sizes.length, 3, output)
    for (const line of sizes) {
      const [kilobytes, place] = line.split(' ')
      assert.ok(Number(kilobytes) > 0 && Number(kilobytes) <= 1024 ** 2, line)
      assert.notEqual(place, '/', output)
    }
  })

  boxTest('the box has no capabilities, and only its own processes', async (under) => {
    const output = await under.prints(
      'grep -E "^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):" /proc/self/status; ls /proc | grep -cE "^[0-9]+$"',
    )
    const lines = output.trim().split('\n')
    for (const line of lines.filter((each) => each.startsWith('Cap'))) assert.match(line, /\t0+$/)
    assert.ok(lines.includes('NoNewPrivs:\t1') && lines.includes('Seccomp:\t2'), output)
    assert.ok(Number(lines.at(-1)) < 12, output)
  })

  boxTest('the box reaches no network, neither the machine nor its names', async (under, t) => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const { port } = server.address() as { port: number }
    const port16 = port.toString(16).toUpperCase().padStart(4, '0')
    const output = await under.prints(
      `cat /proc/net/tcp | grep -c ":${port16} " ; ls /sys/class/net 2>/dev/null; grep -v -E "^ *(lo|Inter|face)" /proc/net/dev | grep -c :; true`,
    )
    assert.deepEqual(
      output
        .trim()
        .split('\n')
        .filter((line) => line !== 'lo'),
      ['0', '0'],
    )
  })

  boxTest('processes left behind end with the box, also in their own session', async (under) => {
    const marker = `31${Math.floor(Math.random() * 1e7)}`
    const script = `(sleep ${marker} >/dev/null 2>&1 &) ; (env -i setsid sleep ${marker} >/dev/null 2>&1 </dev/null &) ; sleep 0.2`
    const { code } = await under.runIntoFiles(under.launch(script))
    assert.equal(code, 0)
    assert.equal(await under.box.end(), true)
    assert.equal(lineOf(marker), false)
  })

  boxTest('all of it can be ended in the middle of its work, even twice', async (under) => {
    const marker = `32${Math.floor(Math.random() * 1e7)}`
    const child = under.begin(under.launch(`trap "" TERM; echo up; sleep ${marker}; sleep ${marker}`))
    await once(child.stdout, 'data')
    await until(() => lineOf(marker))
    const gone = once(child, 'exit')
    assert.equal(await under.box.end(), true)
    await gone
    assert.equal(lineOf(marker), false)
    assert.equal(await under.box.end(), true)
  })

  boxTest('several programs can run in a box at the same time', async (under) => {
    const first = under.begin(under.launch('cat'))
    assert.equal(await under.prints('echo second'), 'second\n')
    first.stdin.end('first\n')
    assert.equal((await ended(first)).stdout.toString(), 'first\n')
  })

  boxTest('a later runner that opens the box again can end it too', async (under, t) => {
    const child = under.begin(under.launch('trap "" TERM; echo up; sleep 1000; sleep 1000'))
    await once(child.stdout, 'data')
    const gone = once(child, 'exit')
    const again = await kind.open(t, join(under.dir, 'box'), [under.hidden])
    assert.equal(await again.end(), true)
    await gone
  })

  boxTest('a missing folder is an error', async (under) => {
    const mounts = { writable: [join(under.dir, 'nowhere')] }
    const run = async () => (await under.run(under.launch('true'), mounts)).code
    assert.notEqual(await run().catch(({ code }) => code), 0)
  })
}
