import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { ReadFile } from '../../playbooks/found.ts'

const OUTSIDE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const LIMIT_MS = 60_000
const regular = /^100(?:644|755|664) blob ([0-9a-f]{40,64})\t/

const run = promisify(execFile)

/**
 * Reads the files of a commit from the objects of a repository that no agent can write to: never from a work tree, and
 * never through a symbolic link. Reading rejects if the commit does not exist.
 */
export function filesOfCommit(gitDir: string, commit: string, signal?: AbortSignal): ReadFile {
  const git = async (args: readonly string[], maxBuffer: number): Promise<Buffer> => {
    const env = {
      PATH: process.env.PATH ?? OUTSIDE_PATH,
      HOME: gitDir,
      GIT_DIR: gitDir,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_NO_REPLACE_OBJECTS: '1',
      GIT_LITERAL_PATHSPECS: '1',
      LC_ALL: 'C',
    }
    const options = { cwd: gitDir, env, maxBuffer, encoding: 'buffer', timeout: LIMIT_MS, signal } as const
    return (await run('git', args, options)).stdout
  }
  return async (path, maxBytes) => {
    const listed = await git(['ls-tree', '-z', '--full-tree', commit, '--', path], 64 * 1024)
    const id = regular.exec(listed.toString('utf8'))?.[1]
    if (id === undefined) return undefined
    try {
      return await git(['cat-file', 'blob', id], maxBytes)
    } catch (error) {
      const cut = error as { code?: unknown; stdout?: Buffer }
      if (cut.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER' && cut.stdout) return cut.stdout
      throw error
    }
  }
}
