import { lstatSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isAbsolute, join, relative } from 'node:path'
import { realPath, writeFileAtomic } from '../../platform/files.ts'
import type { OutputValues } from '../attempts/output-values.ts'
import type { Masker } from '../masking/masker.ts'
import type { Box } from '../sandbox/box.ts'
import { CarefulGit, repositoryOf } from '../workspace-view/careful-git.ts'
import type { Session } from './session.ts'

/** Stores the state of the working folder before the agent came, across restarts. */
export class Baseline {
  readonly #file: string
  readonly #git: CarefulGit
  #taken: { cwd: string; state?: RepositoryState } | undefined

  /**
   * Uses `file` to store the state. `box` is the session's box, in which nothing else runs while git does; absent if
   * there is none. `beside` returns the folders that the repository borrows from.
   */
  constructor(file: string, env: NodeJS.ProcessEnv, box?: Box, beside: () => readonly string[] = () => []) {
    this.#file = file
    this.#git = new CarefulGit(env, box, beside)
  }

  /** Takes the state; only the first call counts. */
  async take(cwd: string): Promise<void> {
    if (this.#taken) return
    const state = await repositoryState(cwd, this.#git)
    this.#taken = { cwd, state }
    // Each new file costs the start of a session up to a millisecond, so an empty state writes none.
    if (state) writeFileAtomic(this.#file, JSON.stringify(this.#taken), { mode: 0o600, durable: false })
  }

  /** Recovers the state. `cwd` is set if an agent has begun, in which case the state was taken before. */
  async recover(cwd: string | undefined): Promise<void> {
    try {
      this.#taken = JSON.parse(await readFile(this.#file, 'utf8'))
    } catch {
      if (cwd !== undefined) this.#taken = { cwd }
    }
  }

  /** Commit that the repository was at, or an empty text if it has no commits; undefined outside a repository. */
  get head(): string | undefined {
    return this.#taken?.state?.head
  }

  /** Returns the paths that changed since; `told` are those that the agent names. */
  async changed(reported: Iterable<string>): Promise<string[]> {
    if (!this.#taken) return [...reported].sort()
    return await changedFiles(this.#taken.cwd, this.#git, reported, this.#taken.state)
  }
}

/** Passes on the values, besides its streams, that a step's outputs may use. */
export async function reportValues(
  values: OutputValues,
  { answer, valueJson, changedPaths }: Session,
  baseline: Baseline,
  masker: Masker | undefined,
): Promise<void> {
  values.set('answer', masker?.maskText(answer) ?? answer)
  if (valueJson !== undefined)
    values.set('value', masker ? JSON.stringify(masker.maskJson(JSON.parse(valueJson))) : valueJson)
  if (!values.needs('files')) return
  const files = await baseline.changed(changedPaths)
  values.set('files', JSON.stringify(masker?.maskJson(files) ?? files))
}

/** Describes a repository: its commit, and the differences from it. */
interface RepositoryState {
  head: string
  /** Maps a path below the working folder to text that identifies its state. */
  dirty: Record<string, string>
}

/** Reads the state of the repository; undefined if the folder is in none, or git fails. */
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

/**
 * Returns the changed paths, sorted and relative if below the working folder: those the agent reports and those git
 * finds.
 */
async function changedFiles(
  cwd: string,
  git: CarefulGit,
  reported: Iterable<string>,
  before: RepositoryState | undefined,
): Promise<string[]> {
  const changed = new Set<string>()
  for (const path of reported) changed.add(nameOf(path, cwd))
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
