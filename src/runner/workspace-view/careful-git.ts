import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { realPath } from '../../platform/files.ts'
import type { Box } from '../sandbox/box.ts'

const run = promisify(execFile)
const GIT_LIMIT_MS = 20_000

/**
 * Returns the folder of the repository around a folder, with Git's own search: starting Git for nothing would cost each
 * session some milliseconds.
 */
export function repositoryOf(cwd: string): string | undefined {
  for (let folder = realPath(cwd, '/'); ; folder = dirname(folder)) {
    if (existsSync(join(folder, '.git'))) return folder
    if (folder === dirname(folder)) return undefined
  }
}

/**
 * Runs the Git that reads a session's repository. It disables everything known in advance that the repository's own
 * configuration could make Git run. If the session has a box, the rest runs in it, without a network and anything to
 * write to.
 */
export class CarefulGit {
  readonly #env: NodeJS.ProcessEnv
  readonly #box: Box | undefined
  readonly #beside: () => readonly string[]
  readonly #name: string
  #count = 0

  /** Takes a `name` for its launches, unique in the box. */
  constructor(env: NodeJS.ProcessEnv, box: Box | undefined, beside: () => readonly string[], name = 'git') {
    this.#name = name
    this.#env = { ...env, GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' }
    this.#box = box
    this.#beside = beside
  }

  /** Returns standard output as text. Rejects if Git fails, or for more than 64 MiB. */
  async run({ cwd, root }: { cwd: string; root: string }, args: readonly string[]): Promise<string> {
    const options = ['--no-optional-locks', '-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null']
    const launch = { argv: ['git', ...options, ...args], cwd, env: this.#env }
    const places = { writable: [], readable: [root, cwd, ...this.#beside()], offline: true } as const
    const { argv, env } = this.#box?.enclose(launch, places, `${this.#name}.${++this.#count}`) ?? launch
    const { stdout } = await run(argv[0]!, argv.slice(1), {
      cwd,
      env,
      maxBuffer: 64 * 1024 * 1024,
      timeout: GIT_LIMIT_MS,
    })
    return stdout
  }

  /** Ends everything that still runs. */
  async end(): Promise<void> {
    await this.#box?.end()
  }
}
