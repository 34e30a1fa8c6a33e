import { spawn } from 'node:child_process'
import { lstat, readdir, realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isBelow } from '../../../platform/real-path.ts'
import type { Work } from './tool.ts'

/** Beyond it a folder is no project. */
const MOST_FILES = 100_000
const MOST_LIST_BYTES = 64 * 1024 * 1024

/** The regular files below a folder, as paths from there with `/`, sorted; in a git repository without the ignored. */
export async function filesBelow(folder: string, work: Work): Promise<string[]> {
  const found: string[] = []
  const insideOf = new Map<string, boolean>()
  /** A folder on the way may be a link by now. */
  const inside = async (path: string) => {
    const parent = dirname(path)
    const known = insideOf.get(parent)
    if (known !== undefined) return known
    const real = await realpath(parent).catch(() => undefined)
    const is = real !== undefined && isBelow(real, folder)
    insideOf.set(parent, is)
    return is
  }
  const collect = async (below: string) => {
    const listed = await gitFiles(join(folder, below), work)
    // What git lists nothing of is perhaps ignored as a whole by a repository around it.
    for (const name of listed !== undefined && listed.size > 0
      ? listed
      : await walked(join(folder, below), work)) {
      if (found.length >= MOST_FILES) return
      const path = join(below, name)
      const stat = await lstat(join(folder, path)).catch(() => undefined)
      if (stat === undefined || !(await inside(join(folder, path)))) continue
      if (stat.isFile()) found.push(path)
      // A repository within the repository.
      else if (stat.isDirectory()) await collect(path)
    }
  }
  await collect('')
  return found.sort()
}

/** Undefined: no repository, or no git. */
function gitFiles(folder: string, { env, signal }: Work): Promise<Set<string> | undefined> {
  const { PATH, HOME } = env
  return new Promise((resolve, reject) => {
    // fsmonitor is a program that a repository's own configuration names.
    const args = [
      '-c',
      'core.fsmonitor=false',
      'ls-files',
      '-z',
      '--cached',
      '--others',
      '--exclude-standard',
    ]
    const git = spawn('git', args, {
      cwd: folder,
      env: { PATH, HOME, GIT_OPTIONAL_LOCKS: '0', LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'ignore'],
      signal,
      killSignal: 'SIGKILL',
    })
    const chunks: Buffer[] = []
    let bytes = 0
    git.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > MOST_LIST_BYTES) git.kill('SIGKILL')
    })
    git.on('error', () => (signal.aborted ? reject(signal.reason) : resolve(undefined)))
    git.on('close', (code) => {
      if (code !== 0) return resolve(undefined)
      const names = Buffer.concat(chunks).toString().split('\0')
      resolve(new Set(names.filter((name) => name !== '')))
    })
  })
}

/** Links are not followed. */
async function walked(folder: string, { signal }: Work): Promise<string[]> {
  const found: string[] = []
  const pending = ['']
  for (let below = pending.pop(); below !== undefined && found.length < MOST_FILES; below = pending.pop()) {
    signal.throwIfAborted()
    const entries = await readdir(join(folder, below), { withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      const path = join(below, entry.name)
      if (entry.isDirectory() && entry.name !== '.git') pending.push(path)
      else if (entry.isFile()) found.push(path)
    }
  }
  return found
}
