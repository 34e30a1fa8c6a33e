import { execFile } from 'node:child_process'
import { existsSync, lstatSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { realPath, writeFileAtomic } from '../../platform/files.ts'
import type { OutputValues } from '../attempts/output-values.ts'
import type { Masker } from '../masking/masker.ts'
import type { Box } from '../sandbox/box.ts'
import type { Session } from './session.ts'

/** The working folder's state before the agent came, kept over restarts. */
export class Baseline {
  readonly #file: string
  readonly #git: Git
  #taken: { cwd: string; state?: RepositoryState } | undefined

  /** `box`: the session's, in which nothing else of it runs when git does; absent: it has none. `beside`: what the repository borrows from. */
  constructor(file: string, env: NodeJS.ProcessEnv, box?: Box, beside: () => readonly string[] = () => []) {
    this.#file = file
    this.#git = new Git(env, box, beside)
  }

  /** The first call counts. */
  async take(cwd: string): Promise<void> {
    if (this.#taken) return
    const state = await repositoryState(cwd, this.#git)
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
    return await changedFiles(this.#taken.cwd, this.#git, told, this.#taken.state)
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
async function repositoryState(cwd: string, git: Git): Promise<RepositoryState | undefined> {
  const root = repositoryOf(cwd)
  if (root === undefined) return undefined
  try {
    const place = { cwd, root }
    const status = await git.run(place, [
      'status',
      '--porcelain',
      '-z',
      '--no-renames',
      '--untracked-files=all',
      '--',
      '.',
    ])
    const head = await git.run(place, ['rev-parse', '--verify', '-q', 'HEAD']).catch(() => '')
    const prefix = (await git.run(place, ['rev-parse', '--show-prefix'])).trim()
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
  } finally {
    await git.end()
  }
}

/** As git looks for it: starting git for nothing would cost each session some milliseconds. */
function repositoryOf(cwd: string): string | undefined {
  for (let folder = realPath(cwd, '/'); ; folder = dirname(folder)) {
    if (existsSync(join(folder, '.git'))) return folder
    if (folder === dirname(folder)) return undefined
  }
}

/** Paths, below the working folder where they are, that changed: told by the agent, or seen by git. Sorted. */
async function changedFiles(
  cwd: string,
  git: Git,
  told: Iterable<string>,
  before: RepositoryState | undefined,
): Promise<string[]> {
  const changed = new Set<string>()
  for (const path of told) changed.add(nameOf(path, cwd))
  const after = before && (await repositoryState(cwd, git))
  if (before && after) {
    for (const path of new Set([...Object.keys(before.dirty), ...Object.keys(after.dirty)]))
      if (before.dirty[path] !== after.dirty[path]) changed.add(path)
    if (before.head !== after.head && before.head !== '') {
      const args = ['diff', '--name-only', '-z', '--no-renames', '--relative', before.head, after.head]
      const root = repositoryOf(cwd) ?? cwd
      for (const path of (await git.run({ cwd, root }, args).catch(() => '')).split('\0'))
        if (path !== '') changed.add(path)
      await git.end()
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

/**
 * The git that looks at a repository. Of what the repository's own configuration could have it run it runs nothing that can be
 * said beforehand, and where the session has a box what is left of that runs in there, without a network and anything to
 * write to.
 */
class Git {
  readonly #env: NodeJS.ProcessEnv
  readonly #box: Box | undefined
  readonly #beside: () => readonly string[]
  #count = 0

  constructor(env: NodeJS.ProcessEnv, box: Box | undefined, beside: () => readonly string[]) {
    this.#env = { ...env, GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' }
    this.#box = box
    this.#beside = beside
  }

  async run({ cwd, root }: { cwd: string; root: string }, args: readonly string[]): Promise<string> {
    const options = ['--no-optional-locks', '-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null']
    const launch = { argv: ['git', ...options, ...args], cwd, env: this.#env }
    const places = { writable: [], readable: [root, cwd, ...this.#beside()], offline: true } as const
    const { argv, env } = this.#box?.enclose(launch, places, `git.${++this.#count}`) ?? launch
    const { stdout } = await run(argv[0]!, argv.slice(1), {
      cwd,
      env,
      maxBuffer: 64 * 1024 * 1024,
      timeout: GIT_LIMIT_MS,
    })
    return stdout
  }

  /** Nothing of it goes on. */
  async end(): Promise<void> {
    await this.#box?.end()
  }
}
