import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { type Duplex, PassThrough, pipeline, type Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { ErrandError } from '../../contract/errors.ts'
import { spawnTree } from '../../platform/child-tree.ts'
import { withoutEscapes } from '../../platform/text.ts'
import { answerCredentials, CREDENTIAL_HELPER, type GitCredential } from './git-credential.ts'

export interface GitOptions {
  /** Folder of the repository, which is also Git's home. */
  folder: string
  /** Folder with the files of a checkout, if Git should see any. */
  workTree?: string
  /** Standard input: a text or a file; default: none. */
  input?: string | { file: string }
  /**
   * Credential for the one address that it names: passed over a descriptor, so that no argument, variable or file has
   * it.
   */
  credential?: GitCredential
  /** Git configuration as `name=value`; nothing else configures it. */
  config: readonly string[]
  env: Readonly<Record<string, string>>
  /** Limit in bytes for a file that it writes. */
  maxFileBytes: number
  /** Ends it, and everything that it has started. */
  signal: AbortSignal
  progress?(line: string): void
}

const MARK = 'ERRAND_GIT_MARK'
const BLOCK_BYTES = 512
const MAX_MEMORY_KIB = 2 * 1024 * 1024

/**
 * Script with kernel limits for a hostile repository, where the kernel has them. Without the signal for a too large
 * file, Git prints what is wrong.
 */
const LIMITED = `trap '' XFSZ; ulimit -c 0; ulimit -f "$1"; ulimit -v ${MAX_MEMORY_KIB} 2>/dev/null; shift; exec git "$@"`

const config = [
  'core.hooksPath=/dev/null',
  'core.symlinks=false',
  'core.fsmonitor=false',
  // Larger files are passed through, not held in memory.
  'core.bigFileThreshold=16m',
  'core.packedGitWindowSize=16m',
  'core.packedGitLimit=256m',
  'pack.threads=2',
  'credential.helper=',
  'fetch.recurseSubmodules=false',
  // One file, which the size limit bounds, whatever the number of objects.
  'fetch.unpackLimit=1',
  'gc.auto=0',
  'maintenance.auto=false',
  'http.followRedirects=false',
  'http.lowSpeedLimit=1000',
  'http.lowSpeedTime=60',
  'transfer.bundleURI=false',
]

/** Runs Git with an environment built from nothing; `read` gets its output. Nothing of it is left afterwards. */
export async function git<T>(
  args: readonly string[],
  options: GitOptions,
  read: (output: Readable) => Promise<T>,
): Promise<T> {
  const { folder, signal } = options
  signal.throwIfAborted()
  const blocks = String(Math.ceil(options.maxFileBytes / BLOCK_BYTES))
  const { credential, input } = options
  const own = [
    ...config,
    ...(credential ? [`credential.helper=${CREDENTIAL_HELPER}`, 'credential.useHttpPath=true'] : []),
    ...options.config,
  ]
  const settings = own.flatMap((setting) => ['-c', setting])
  const argv = ['/bin/sh', '-c', LIMITED, 'sh', blocks, ...settings, ...args]
  const opened = typeof input === 'object' ? openSync(input.file, 'r') : undefined
  const stdin = opened ?? (input === undefined ? 'ignore' : 'pipe')
  const { child, tree } = spawnTree<'stdout' | 'stderr'>(argv, {
    cwd: options.workTree ?? folder,
    env: { ...environment(options), ...options.env },
    mark: `${MARK}=${randomUUID()}`,
    stdio: [stdin, 'pipe', 'pipe', ...(credential ? ['pipe' as const] : [])],
  })
  if (opened !== undefined) closeSync(opened)
  // It may end before it has read everything.
  child.stdin?.on('error', () => undefined).end(input)
  const requestPipe = child.stdio[3] as Duplex | undefined
  if (credential && requestPipe) answerCredentials(requestPipe, credential, options.progress)
  // Read from now on: data without a listener at the exit would be dropped.
  const output = new PassThrough()
  pipeline(child.stdout, output, () => undefined)
  const lines = new GitLines(options.progress)
  child.stderr.on('data', (chunk: Buffer) => lines.push(chunk))
  const end = async () => {
    await tree.stop(0)
    for (const stream of [child.stdout, child.stderr, requestPipe]) stream?.destroy()
  }
  const stop = () => void end()
  signal.addEventListener('abort', stop, { once: true })
  let refusedEarly = false
  try {
    const reading = read(output).catch((error: unknown) => {
      refusedEarly = !child.stdout.readableEnded
      throw error
    })
    // Both, so that nothing is still written when this is over.
    const [result, closed] = await Promise.allSettled([reading, once(child, 'close')])
    signal.throwIfAborted()
    if (closed.status === 'rejected') throw closed.reason
    // If its output was refused before the end, Git failed because of that, and not the other way round.
    if (child.exitCode !== 0 && !refusedEarly)
      throw new GitFailure(lines.all(), lines.last(), child.exitCode ?? child.signalCode)
    if (result.status === 'rejected') throw result.reason
    return result.value
  } finally {
    signal.removeEventListener('abort', stop)
    await end()
  }
}

function environment({ folder, workTree }: GitOptions): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
    // No .netrc, no configuration, no certificates of the person who runs this.
    HOME: folder,
    GIT_DIR: folder,
    ...(workTree !== undefined && { GIT_WORK_TREE: workTree }),
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_NO_REPLACE_OBJECTS: '1',
    LC_ALL: 'C',
  }
}

/** Thrown if Git has ended with an error. */
export class GitFailure extends ErrandError {
  /** Last lines that it printed. */
  readonly lines: readonly string[]
  /** Last of these lines, preferring its own errors; may be empty. */
  readonly said: string
  readonly end: number | string | null

  constructor(lines: readonly string[], last: string, end: number | string | null) {
    const what = last === '' ? `git ended with ${end}` : `git says: ${last}`
    super('source_refused', `The repository cannot be fetched; ${what}`, {
      hint: 'Check its address, and the name of the branch, tag or commit.',
    })
    this.lines = lines
    this.said = last
    this.end = end
  }
}

const MAX_LINE_LENGTH = 300
const MAX_LINES = 40

/** Collects the lines of Git's standard error in a form safe for display: a server writes some of them. */
class GitLines {
  readonly #progress?: (line: string) => void
  readonly #decoder = new TextDecoder()
  #rest = ''
  #last = ''
  readonly #all: string[] = []

  constructor(progress?: (line: string) => void) {
    this.#progress = progress
  }

  push(chunk: Buffer): void {
    // It rewrites its progress line after a carriage return.
    const parts = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split(/[\r\n]/)
    this.#rest = parts.pop()!.slice(0, MAX_LINE_LENGTH)
    for (const part of parts) this.#take(part)
  }

  /** Returns the last line, preferring Git's own errors. */
  last(): string {
    this.#take(this.#rest)
    this.#rest = ''
    return this.#last
  }

  /** Returns the last lines without progress. */
  all(): readonly string[] {
    this.#take(this.#rest)
    this.#rest = ''
    return this.#all
  }

  #take(part: string): void {
    const line = withoutEscapes(part.slice(0, MAX_LINE_LENGTH))
      .replace(/\p{Cc}/gu, ' ')
      .trim()
    if (line === '') return
    if (/^(?:fatal|error): /.test(line) || !/^(?:fatal|error): /.test(this.#last)) this.#last = line
    if (!/\d+% \(/.test(line)) {
      this.#all.push(line)
      if (this.#all.length > MAX_LINES) this.#all.shift()
    }
    this.#progress?.(line)
  }
}

/** Least version: it supports http.curloptResolve; an older one would look up names itself. */
const LEAST = [2, 37] as const

/** Throws `source_refused` if this machine has no Git that can be restricted to the checked addresses. */
export async function checkGitVersion(options: GitOptions): Promise<void> {
  const version = await git(['--version'], options, text).catch((cause: Error) => {
    options.signal.throwIfAborted()
    throw unknownGit('The runner has no Git', cause)
  })
  const [major, minor] = /(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? []
  if (major === undefined || minor === undefined)
    throw unknownGit(`The runner's Git does not report its version: ${JSON.stringify(version)}`)
  if (major < LEAST[0] || (major === LEAST[0] && minor < LEAST[1]))
    throw unknownGit(`The runner's Git is too old: ${major}.${minor}`)
}

const unknownGit = (what: string, cause?: unknown) =>
  new ErrandError('source_refused', `${what}.`, {
    hint: `Install Git ${LEAST.join('.')} or newer on the runner, or send the code as an archive.`,
    cause,
  })
