import { execFile } from 'node:child_process'
import { existsSync, lstatSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { realPath, writeFileAtomic } from '../../platform/files.ts'
import type { OutputValues } from '../attempts/output-values.ts'
import type { Masker } from '../masking/masker.ts'
import type { Session } from './session.ts'

/** The working folder's state before the agent came, kept over restarts. */
export class Baseline {
  readonly #file: string
  readonly #env: NodeJS.ProcessEnv
  #taken: { cwd: string; state?: RepositoryState } | undefined

  constructor(file: string, env: NodeJS.ProcessEnv) {
    this.#file = file
    this.#env = env
  }

  /** The first call counts. */
  async take(cwd: string): Promise<void> {
    if (this.#taken) return
    const state = await repositoryState(cwd, this.#env)
    this.#taken = { cwd, state }
    // Each file that is made costs the start of a session up to a millisecond: that there is nothing needs none.
    if (state) writeFileAtomic(this.#file, JSON.stringify(this.#taken), { mode: 0o600, durable: false })
  }

  /** `cwd`: where an agent was begun, and so it was taken before. */
  async recover(cwd: string | undefined): Promise<void> {
    try {
      this.#taken = JSON.parse(await readFile(this.#file, 'utf8'))
    } catch {
      if (cwd !== undefined) this.#taken = { cwd }
    }
  }

  /** Paths that changed since; `told` are those that the agent names. */
  async changed(told: Iterable<string>): Promise<string[]> {
    if (!this.#taken) return [...told].sort()
    return await changedFiles(this.#taken.cwd, this.#env, told, this.#taken.state)
  }
}

/** Tells the values that a step's outputs may be taken from, beside its streams. */
export async function tellValues(
  values: OutputValues,
  { answer, valueJson, changedPaths }: Session,
  baseline: Baseline,
  masker: Masker | undefined,
): Promise<void> {
  values.tell('answer', masker?.maskText(answer) ?? answer)
  if (valueJson !== undefined)
    values.tell('value', masker ? JSON.stringify(masker.maskJson(JSON.parse(valueJson))) : valueJson)
  if (!values.wants('files')) return
  const files = await baseline.changed(changedPaths)
  values.tell('files', JSON.stringify(masker?.maskJson(files) ?? files))
}

const run = promisify(execFile)
const GIT_LIMIT_MS = 20_000

/** The state of a repository: where it stands, and what differs from that. */
interface RepositoryState {
  head: string
  /** Path below the working folder → what tells two states of it apart. */
  dirty: Record<string, string>
}

/** Undefined where the folder is in no repository, or git cannot say. */
async function repositoryState(cwd: string, env: NodeJS.ProcessEnv): Promise<RepositoryState | undefined> {
  try {
    if (!inRepository(cwd)) return undefined
    const status = await git(cwd, env, [
      'status',
      '--porcelain',
      '-z',
      '--no-renames',
      '--untracked-files=all',
      '--',
      '.',
    ])
    const head = await git(cwd, env, ['rev-parse', '--verify', '-q', 'HEAD']).catch(() => '')
    const prefix = (await git(cwd, env, ['rev-parse', '--show-prefix'])).trim()
    const dirty: Record<string, string> = {}
    for (const entry of status.split('\0')) {
      const path = entry.slice(3)
      if (!path.startsWith(prefix)) continue
      const own = path.slice(prefix.length)
      if (own !== '') dirty[own] = `${entry.slice(0, 2)} ${stampOf(join(cwd, own))}`
    }
    return { head: head.trim(), dirty }
  } catch {
    return undefined
  }
}

/** As git looks for it: starting git for nothing would cost each session some milliseconds. */
function inRepository(cwd: string): boolean {
  for (let folder = realPath(cwd, '/'); ; folder = dirname(folder)) {
    if (existsSync(join(folder, '.git'))) return true
    if (folder === dirname(folder)) return false
  }
}

/** Paths, below the working folder where they are, that changed: told by the agent, or seen by git. Sorted. */
async function changedFiles(
  cwd: string,
  env: NodeJS.ProcessEnv,
  told: Iterable<string>,
  before: RepositoryState | undefined,
): Promise<string[]> {
  const changed = new Set<string>()
  for (const path of told) changed.add(nameOf(path, cwd))
  const after = before && (await repositoryState(cwd, env))
  if (before && after) {
    for (const path of new Set([...Object.keys(before.dirty), ...Object.keys(after.dirty)]))
      if (before.dirty[path] !== after.dirty[path]) changed.add(path)
    if (before.head !== after.head && before.head !== '') {
      const args = ['diff', '--name-only', '-z', '--no-renames', '--relative', before.head, after.head]
      for (const path of (await git(cwd, env, args).catch(() => '')).split('\0'))
        if (path !== '') changed.add(path)
    }
  }
  return [...changed].sort()
}

function nameOf(path: string, cwd: string): string {
  try {
    const below = relative(realPath(cwd, '/'), realPath(path, cwd))
    return below.startsWith('..') || isAbsolute(below) ? path : below
  } catch {
    return path
  }
}

function stampOf(path: string): string {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return stat ? `${stat.size} ${stat.mtimeMs}` : 'gone'
}

/** Nothing that the repository's own configuration could have run. */
async function git(cwd: string, env: NodeJS.ProcessEnv, args: readonly string[]): Promise<string> {
  const options = ['--no-optional-locks', '-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null']
  const { stdout } = await run('git', [...options, ...args], {
    cwd,
    env: { ...env, GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' },
    maxBuffer: 64 * 1024 * 1024,
    timeout: GIT_LIMIT_MS,
  })
  return stdout
}
