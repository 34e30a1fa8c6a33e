import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { endTree } from '../src/platform/child-tree.ts'
import { removeTree } from '../src/platform/files.ts'
import { environmentOf, listProcesses, type ProcessTree, treeMembers } from '../src/platform/proc.ts'
import { patience } from '../test/support/patience.ts'
import type { TestLine } from '../test/support/test-reporter.ts'
import type { Schedule, Work } from './test-schedule.ts'

/** Most of a test file's output that is kept: its end. */
const MAX_OUTPUT_CHARACTERS = 20_000
/** Time that a process has to clean up after SIGTERM. */
const GRACE_MS = 3000
/** Time that a process may take to end by itself on a busy machine, after SIGTERM or the loss of its parent. */
const GOING_MS = 10_000
/** Longest wait for a Docker engine to remove the containers of one file. */
const ENGINE_MS = 120_000
/** Folder for temporary files. It is /tmp whatever TMPDIR says: the path of a socket has to fit into 107 bytes. */
const TEMP = existsSync('/tmp') ? realpathSync('/tmp') : tmpdir()
/** Matches the variables of this machine that reach a test: where its programs are, and its way to the network. */
const PASSED_ON =
  /^(PATH|DOCKER_HOST|DOCKER_SOCK|NODE_EXTRA_CA_CERTS|\w*_CA_BUNDLE|SSL_CERT_(FILE|DIR)|\w+_proxy|npm_config_registry|ERRAND_TEST_\w+)$/i

/** A test, or its file, with the reason. */
export interface TestLineReport {
  title: string
  text: string
}

/** The result of the tests of one file. */
export interface FileResult {
  passed: number
  failures: TestLineReport[]
  skips: TestLineReport[]
  printed: string
  ms: number
  /** Processor time of its processes; undefined if the file could not report it. */
  cpuMs?: number
  /** Whether the run was stopped before the file had ended. */
  stopped: boolean
}

export interface RunOptions {
  /** A file is ended, and has failed, after this long without an event of its tests or output. */
  silenceMs: number
  /** Returns the services that the tests of a file must not find, although this machine has them. */
  without?(work: Work): readonly string[]
  /** Resolves the next time a service becomes ready. */
  serviceReady?(): Promise<unknown>
  /** Ends the running files with everything that they have started, and begins no more. */
  stop?: AbortSignal
  began?(work: Work): void
  ended?(work: Work, result: FileResult): void
}

/**
 * Runs the test files of the schedule. Each has its own process, an environment that is the same on every machine, and
 * home and temporary folders that are removed afterwards. No process of a file outlives it. Returns the result of each
 * file that has begun.
 */
export async function runTestFiles(
  root: string,
  schedule: Schedule,
  options: RunOptions,
): Promise<Map<string, FileResult>> {
  const results = new Map<string, FileResult>()
  // Most files load the same source, and compiling it is much of the time of a short file.
  const compiled = mkdtempSync(join(TEMP, 'errand-compiled-'))
  const run = async (work: Work): Promise<void> => {
    options.began?.(work)
    const result = await runTestFile(root, work, compiled, options)
    results.set(work.file, result)
    schedule.ended(work)
    options.ended?.(work, result)
  }
  // It determines the modes of files that tests create and check.
  const before = process.umask(0o022)
  const running = new Set<Promise<void>>()
  for (;;) {
    for (let work = nextOf(schedule, options); work !== undefined; work = nextOf(schedule, options)) {
      const done: Promise<void> = run(work).finally(() => running.delete(done))
      running.add(done)
    }
    const isOver = schedule.waiting.length === 0 || options.stop?.aborted
    if (running.size === 0 && isOver) break
    const ready = isOver ? undefined : options.serviceReady?.()
    await Promise.race(ready === undefined ? running : [...running, ready])
  }
  process.umask(before)
  await removeTree(compiled)
  return results
}

const nextOf = (schedule: Schedule, { stop }: RunOptions): Work | undefined =>
  stop?.aborted ? undefined : schedule.next()

async function runTestFile(
  root: string,
  work: Work,
  compiled: string,
  { silenceMs, without, stop }: RunOptions,
): Promise<FileResult> {
  const { file } = work
  const startMs = performance.now()
  const result: FileResult = { passed: 0, failures: [], skips: [], printed: '', ms: 0, stopped: false }
  const folder = mkdtempSync(join(TEMP, 'errand-'))
  for (const name of ['home', 'tmp', FOREIGN_HOME]) mkdirSync(join(folder, name))
  // Like /tmp, so that programs that a test starts as another user can enter it.
  chmodSync(folder, 0o755)
  chmodSync(join(folder, 'tmp'), 0o1777)

  const reporter = join(import.meta.dirname, '../test/support/test-reporter.ts')
  const rejections = noteRejections(folder)
  // Programs that a test starts do not use it: some tests check where compiled code is stored.
  const withoutCache = 'data:text/javascript,delete process.env.NODE_COMPILE_CACHE'
  const before = ['--require', rejections.preload, '--import', withoutCache]
  const words = [process.execPath, ...before, '--test-reporter', reporter, file]
  const foreign = work.surroundings === 'foreign'
  const [program, ...args] = foreign ? ['/bin/sh', '-c', 'umask 077; exec "$@"', 'sh', ...words] : words
  const child = spawn(program!, args, {
    cwd: root,
    env: {
      ...testEnvironment(folder, without?.(work) ?? []),
      ...(foreign && foreignEnvironment(folder)),
      NODE_COMPILE_CACHE: compiled,
    },
    // In its own session, without a terminal, so that Ctrl-C reaches only this process.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  const tree = processesOf(folder, child.pid)
  const running = new Map<number, string>()
  let over = false
  const end = async (): Promise<void> => {
    over = true
    await endTree(tree, GRACE_MS)
  }
  let signAtMs = performance.now()
  const isSilent = () => {
    if (over) return
    const leftMs = signAtMs + silenceMs * patience() - performance.now()
    // A timer may fire a little early.
    if (leftMs > 1) {
      silence = setTimeout(isSilent, leftMs)
      return
    }
    const seconds = Math.round((performance.now() - signAtMs) / 1000)
    const at = running.size === 0 ? '' : `\nIt was at: ${[...running.values()].join(', ')}`
    result.failures.push({ title: file, text: `It gave no sign for ${seconds} s, and was ended.${at}` })
    void end()
  }
  let silence = setTimeout(isSilent, silenceMs)
  const stopped = (): void => {
    result.stopped = true
    void end()
  }
  stop?.addEventListener('abort', stopped)

  for (const stream of [child.stdout, child.stderr])
    stream!.setEncoding('utf8').on('data', (text) => {
      signAtMs = performance.now()
      result.printed = (result.printed + text).slice(-MAX_OUTPUT_CHARACTERS)
    })
  createInterface(child.stdio[3] as Readable).on('line', (line) => {
    signAtMs = performance.now()
    // Tests that were canceled because the file is being ended say nothing.
    if (!over) take(root, result, running, JSON.parse(line))
  })
  const closed = once(child, 'close')
  const [code, signal] = await once(child, 'exit')
  clearTimeout(silence)
  stop?.removeEventListener('abort', stopped)
  const left = over ? [] : await leftBehind(tree)
  await endTree(tree, 0)
  if (over || result.failures.length > 0) await removeFromEngine(folder, result, file)
  // A process that is no longer connected with the file may still hold its output open.
  await Promise.race([closed, sleep(GOING_MS, undefined, { ref: false })])
  for (const stream of child.stdio) stream?.destroy()

  if (!over && code !== 0 && result.failures.length === 0)
    result.failures.push({
      title: file,
      text: `It ended ${signal ? `by ${signal}` : `with exit code ${code}`}.`,
    })
  if (left.length > 0)
    result.failures.push({
      title: file,
      text: `It left these processes, which were ended:\n  ${left.join('\n  ')}`,
    })
  result.failures.push(...rejections.noted().map((text) => ({ title: file, text })))
  await removeTree(folder)
  result.ms = performance.now() - startMs
  return result
}

/** Creates a preload for each Node of a file, and reports each Node that died of an unhandled rejection. */
function noteRejections(folder: string): { preload: string; noted(): string[] } {
  const notes = join(folder, 'unhandled')
  const preload = join(folder, 'note-unhandled.cjs')
  const support = join(import.meta.dirname, '../test/support/unhandled-rejections.cjs')
  const modules = [preload, notes].map((path) => JSON.stringify(path)).join(', ')
  mkdirSync(notes)
  // Programs that a test starts as another user write here too.
  chmodSync(notes, 0o1777)
  writeFileSync(preload, `require(${JSON.stringify(support)})(${modules})\n`)
  return {
    preload,
    noted: () =>
      readdirSync(notes).map((name) => {
        const { pid, argv, error } = JSON.parse(readFileSync(join(notes, name), 'utf8'))
        return `Process ${pid} died of a rejection that nobody has handled: ${argv.join(' ')}\n${error}`
      }),
  }
}

/** Removes what the file had at the Docker engine, as no test is left to remove it. */
async function removeFromEngine(folder: string, result: FileResult, file: string): Promise<void> {
  const notes = join(folder, 'made')
  if (!existsSync(notes)) return
  const program = join(import.meta.dirname, '../test/support/docker/remove-left.ts')
  await promisify(execFile)(process.execPath, [program, notes], { timeout: ENGINE_MS }).catch((error) => {
    const text = `What it has left at the Docker engine could not be removed: ${(error as Error).message}`
    result.failures.push({ title: file, text })
  })
}

/** An unusual name for a home folder. */
const FOREIGN_HOME = "Ana's höme"

/** Returns an unusual environment: colours, a zone with clock changes, a language with special letters. */
const foreignEnvironment = (folder: string): NodeJS.ProcessEnv => ({
  HOME: join(folder, FOREIGN_HOME),
  TZ: 'Pacific/Chatham',
  LANG: 'tr_TR.UTF-8',
  LC_ALL: 'tr_TR.UTF-8',
  TERM: 'xterm-256color',
  FORCE_COLOR: '3',
})

/** Returns an environment that is the same on every machine, except for the places of its programs and folders. */
function testEnvironment(folder: string, without: readonly string[]): NodeJS.ProcessEnv {
  const home = homedir()
  const passedOn = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name))
  const agents = process.env.ERRAND_AGENTS_DIR || join(home, '.errand/agents')
  return {
    ...Object.fromEntries(passedOn),
    HOME: join(folder, 'home'),
    TMPDIR: join(folder, 'tmp'),
    LANG: 'C.UTF-8',
    TZ: 'UTC',
    NPM_CONFIG_USERCONFIG: process.env.npm_config_userconfig ?? join(home, '.npmrc'),
    ERRAND_AGENTS_DIR: without.includes('agents') ? '/nonexistent' : agents,
    ...(without.includes('docker') && { DOCKER_HOST: 'unix:///nonexistent' }),
    ERRAND_TEST_WITHOUT: without.join(),
    ERRAND_TEST_MADE: join(folder, 'made'),
  }
}

/** Returns the processes in a file's session, those that know its folder, and everything that these have started. */
function processesOf(folder: string, session: number | undefined): ProcessTree {
  const members = (): number[] =>
    (listProcesses() ?? [])
      .filter((each) => each.session === session || knows(each.pid, folder))
      .map(({ pid }) => pid)
  return { mark: `TMPDIR=${join(folder, 'tmp')}`, members }
}

function knows(pid: number, folder: string): boolean {
  if (environmentOf(pid)?.includes(folder)) return true
  try {
    return readlinkSync(`/proc/${pid}/cwd`).startsWith(`${folder}/`)
  } catch {
    // The process is gone, or belongs to another user.
    return false
  }
}

/** Returns the command lines of processes that do not end by themselves. */
async function leftBehind(tree: ProcessTree): Promise<string[]> {
  const untilMs = performance.now() + GOING_MS
  for (;;) {
    const left = treeMembers(tree)
    if (left.length === 0 || performance.now() > untilMs) return left.map(({ pid }) => commandLine(pid))
    await sleep(50)
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').slice(0, 200)
  } catch {
    return `process ${pid}`
  }
}

function take(root: string, result: FileResult, running: Map<number, string>, line: TestLine): void {
  if (line.type === 'sign') return
  if (line.type === 'cpu') {
    result.cpuMs = line.ms
    return
  }
  const file = line.file === undefined ? '' : relative(root, line.file)
  const title = `${file}${line.line === undefined || file === '' ? '' : `:${line.line}`} ${line.name}`
  if (line.type === 'begun') {
    running.set(line.id, title)
    return
  }
  running.delete(line.id)
  if (line.skipped !== undefined) result.skips.push({ title, text: line.skipped })
  else if (line.passed) result.passed += line.suite ? 0 : 1
  // A test with subtests fails because they did; they are reported separately.
  else if (line.error !== undefined) result.failures.push({ title, text: line.error })
}
