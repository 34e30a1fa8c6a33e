/**
 * A different machine for tests: a Linux kernel that runs as a program (user-mode Linux), with this machine's files
 * and cgroup v2, which runs nothing but one test file:
 *
 *     const { tests, code } = await runInGuest(import.meta.filename)
 *
 * The file must check with `inGuest` whether it is in a guest, so that it does not start another.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, unwatchFile, watchFile } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endTree } from '../../../src/platform/child-tree.ts'
import type { EndedTest, TestLine } from '../test-reporter.ts'

const PROGRAM = '/usr/bin/linux.uml'
const INIT = join(import.meta.dirname, 'guest-init.sh')
const REGISTERS = join(import.meta.dirname, 'whole-registers.c')
const MEMORY = '2G'
const TIMEOUT_MS = 300_000
const CONSOLE_CHARACTERS = 3_000

export interface GuestRun {
  tests: EndedTest[]
  /** The test file's exit code. */
  code: number
  /** The last lines of its console. */
  lastLines: string
}

export const inGuest = (): boolean => process.env.ERRAND_TEST_GUEST === '1'

/** Returns why there can be no guest, or false. */
export function guestMissing(): string | false {
  const hidden = process.env.ERRAND_TEST_WITHOUT?.includes('guests')
  return existsSync(PROGRAM) && !hidden
    ? false
    : `there is no ${PROGRAM} to run a guest with cgroup v2 (Debian's package user-mode-linux)`
}

export interface GuestOptions {
  /** The guest has a folder below it while it runs. */
  folder?: string
  /** Ends the guest. */
  signal?: AbortSignal
}

/**
 * Runs a test file in a guest. If it hangs or the signal ends it, rejects with the console's last lines. Nothing of
 * the guest is left then.
 */
export async function runInGuest(file: string, options: GuestOptions = {}): Promise<GuestRun> {
  const { signal = AbortSignal.timeout(TIMEOUT_MS) } = options
  const folder = mkdtempSync(join(options.folder ?? tmpdir(), 'errand-guest-'))
  for (const name of ['report', 'temp', 'kernel']) mkdirSync(join(folder, name))
  const guest = spawn(PROGRAM, kernelWords(folder, file), {
    // A group of its own, so that all of it can be ended. Its memory is a file in TMPDIR without a name.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...preloaded(folder),
      PATH: process.env.PATH,
      TMPDIR: join(folder, 'kernel'),
      ERRAND_TEST_GUEST_FOLDER: folder,
    },
  })
  const end = () => endTree({ group: guest.pid, mark: `ERRAND_TEST_GUEST_FOLDER=${folder}` }, 0)
  signal.addEventListener('abort', end)
  const tests = join(folder, 'report/tests')
  // A file that waits for its guest prints signs of it.
  watchFile(tests, { interval: 1000 }, ({ size }) =>
    console.log(`The guest has told ${size} bytes of tests.`),
  )
  let lastLines = ''
  for (const stream of [guest.stdout, guest.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      lastLines = (lastLines + text).slice(-CONSOLE_CHARACTERS)
    })
  try {
    await once(guest, 'close')
    const code = read(join(folder, 'report/code'))
    if (code === '') {
      const what = signal.aborted ? `was ended: ${signal.reason}` : 'did not run it'
      throw new Error(`the guest for ${file} ${what}. Its console's last lines:\n${lastLines}`)
    }
    const lines = read(tests).split('\n').filter(Boolean)
    const parsed = lines.map((line): TestLine => JSON.parse(line))
    return {
      tests: parsed.filter(({ type }) => type === 'ended') as EndedTest[],
      code: Number(code),
      lastLines,
    }
  } finally {
    unwatchFile(tests)
    signal.removeEventListener('abort', end)
    await end()
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * Returns what the kernel needs on processors with many registers, built with this machine's compiler. Without a
 * compiler, the kernel starts without it.
 */
function preloaded(folder: string): NodeJS.ProcessEnv {
  const library = join(folder, 'whole-registers.so')
  const { status } = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, REGISTERS], {
    stdio: 'ignore',
  })
  return status === 0 ? { LD_PRELOAD: library } : {}
}

/** Returns the kernel's command line. The first program receives everything after `--`. */
function kernelWords(folder: string, file: string): string[] {
  const quoted = (text: string) => `"${text}"`
  return [
    ...['root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'ro', `mem=${MEMORY}`, `init=${quoted(INIT)}`],
    ...['quiet', 'con0=null,fd:1', 'con=null', 'ssl=null', `uml_dir=${folder}/kernel`],
    ...['--', quoted(folder), quoted(file), String(TIMEOUT_MS / 1000)],
  ]
}

const read = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8').trim() : '')
