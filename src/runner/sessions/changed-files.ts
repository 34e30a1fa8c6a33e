import { lstatSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isAbsolute, join, relative } from 'node:path'
import { realPath, writeFileAtomic } from '../../platform/files.ts'
import type { OutputValues } from '../attempts/output-values.ts'
import { CarefulGit, repositoryOf } from '../looks/careful-git.ts'
import type { Masker } from '../masking/masker.ts'
import type { Box } from '../sandbox/box.ts'
import type { Session } from './session.ts'

/** The working folder's state before the agent came, kept over restarts. */
export class Baseline {
  readonly #file: string
  readonly #git: CarefulGit
  #taken: { cwd: string; state?: RepositoryState } | undefined

  /** `box`: the session's, in which nothing else of it runs when git does; absent: it has none. `beside`: what the repository borrows from. */
  constructor(file: string, env: NodeJS.ProcessEnv, box?: Box, beside: () => readonly string[] = () => []) {
    this.#file = file
    this.#git = new CarefulGit(env, box, beside)
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

  /** The commit that the repository stood at, or nothing for one without commits; undefined: it is in no repository. */
  get head(): string | undefined {
    return this.#taken?.state?.head
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

/** The state of a repository: where it stands, and what differs from that. */
interface RepositoryState {
  head: string
  /** Path below the working folder → what tells two states of it apart. */
  dirty: Record<string, string>
}

/** Undefined where the folder is in no repository, or git cannot say. */
async function repositoryState(cwd: string, git: CarefulGit): Promise<RepositoryState | undefined> {
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

/** Paths, below the working folder where they are, that changed: told by the agent, or seen by git. Sorted. */
async function changedFiles(
  cwd: string,
  git: CarefulGit,
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
