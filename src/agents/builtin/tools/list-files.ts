import { spawn } from 'node:child_process'
import { lstat, readdir, realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as z from 'zod'
import { isBelow } from '../../../platform/files.ts'
import { type PathGlob, globPattern as pathPattern, TimeGuard } from '../../../platform/untrusted-input.ts'
import { defineTool, OUTPUT_BYTES, ToolError, type Work } from './tool.ts'

const MOST_SHOWN = 1000

const Args = z.object({
  path: z.string().min(1).default('.').describe('The folder'),
  glob: z.string().min(1).optional().describe('Only these, e.g. *.ts or src/**/*.{js,css}'),
})

export const listFiles = defineTool({
  name: 'list_files',
  kind: 'search',
  description: 'Lists the files below a folder, except those that git ignores.',
  args: Args,
  title: ({ path, glob }) => `List ${glob ?? 'files'} in ${path}`,
  paths: ({ path }) => [path],
  async run({ glob }, work) {
    const all = await filesBelow(work.paths[0]!, work)
    const files = glob === undefined ? all : fitting(all, globPattern(glob))
    if (files.length === 0)
      return { output: all.length === 0 ? '(no files)' : `(none of ${all.length} files match)` }
    const shown: string[] = []
    let bytes = 0
    for (const file of files.slice(0, MOST_SHOWN)) {
      bytes += Buffer.byteLength(file) + 1
      if (bytes > OUTPUT_BYTES) break
      shown.push(file)
    }
    const more = files.length - shown.length
    return { output: shown.join('\n') + (more === 0 ? '' : `\n… (${more} more; name a folder or a glob)`) }
  },
})

function fitting(files: readonly string[], pattern: PathGlob): string[] {
  return new TimeGuard().run(() => files.filter((file) => pattern.test(file)))
}

const MOST_CHARS = 500

/** Parses a glob of the model with `pathPattern`; one without `/` matches a name in any folder. Throws `ToolError`. */
export function globPattern(glob: string): PathGlob {
  if (glob.length > MOST_CHARS) throw new ToolError(`The glob is longer than ${MOST_CHARS} characters.`)
  try {
    return pathPattern(glob.includes('/') ? glob.replace(/^\.?\/+/, '') : `**/${glob}`)
  } catch {
    throw new ToolError(`The glob ${glob} is not valid.`)
  }
}

/** Most files that are listed; a project has fewer. */
const MOST_FILES = 100_000
const MOST_LIST_BYTES = 64 * 1024 * 1024

/** Returns the regular files below a folder as sorted relative paths; in a git repository without ignored files. */
export async function filesBelow(folder: string, work: Work): Promise<string[]> {
  const found: string[] = []
  const insideOf = new Map<string, boolean>()
  /** Reports whether a path is still below the folder: a folder on the way may be a link by now. */
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
    // If git lists nothing, an outer repository may ignore the whole folder.
    for (const name of listed !== undefined && listed.size > 0
      ? listed
      : await walked(join(folder, below), work)) {
      if (found.length >= MOST_FILES) return
      const path = join(below, name)
      const stat = await lstat(join(folder, path)).catch(() => undefined)
      if (stat === undefined || !(await inside(join(folder, path)))) continue
      if (stat.isFile()) found.push(path)
      // This is a repository inside the repository.
      else if (stat.isDirectory()) await collect(path)
    }
  }
  await collect('')
  return found.sort()
}

/** Returns the files that git lists, or undefined without a repository or git. */
function gitFiles(folder: string, { env, signal }: Work): Promise<Set<string> | undefined> {
  const { PATH, HOME } = env
  return new Promise((resolve, reject) => {
    // Disable fsmonitor, a program that the repository's own configuration can name.
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

/** Returns the files below a folder without following links. */
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
