import { execFile } from 'node:child_process'
import { existsSync, lstatSync } from 'node:fs'
import { dirname, isAbsolute, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { realPath } from '../../platform/real-path.ts'

const run = promisify(execFile)
const GIT_LIMIT_MS = 20_000

/** What a repository is like: where it stands, and what differs from that. */
export interface RepositoryState {
  head: string
  /** Path below the working folder → what tells two states of it apart. */
  dirty: Record<string, string>
}

/** Undefined where the folder is in no repository, or git cannot say. */
export async function repositoryState(
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<RepositoryState | undefined> {
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
export async function changedFiles(
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
