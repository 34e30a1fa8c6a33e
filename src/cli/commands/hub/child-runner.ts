import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { spawnGroup } from '../../../platform/child-tree.ts'
import { Backoff } from '../../../platform/time.ts'

export interface ChildRunnerOptions {
  url: string
  token: string
  /** The hub's own, in a file that steps of this runner can read: masked in what they put out. */
  localToken: string
  /** Folder of its attempts and workspaces. */
  workspace: string
  /** The hub's data, which stand in no sandbox. */
  data: string
  /** Folders that agents may work in. */
  allowedDirs: readonly string[]
  /** Steps at once; undefined: as its environment says. */
  slots?: number
  log(message: string): void
}

/** One that ran this long was well: the next start does not wait. */
const WELL_MS = 30_000
const STOP_WITHIN_MS = 10_000

/** A runner beside the hub, as a process of its own, started again when it dies. It ends when its standard input does. */
export class ChildRunner {
  readonly #options: ChildRunnerOptions
  readonly #backoff = new Backoff({ firstMs: 200, maxMs: 10_000 })
  #child: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: ChildRunnerOptions) {
    this.#options = options
    this.#start()
  }

  /** The runner ends; what it had under way goes on and is found by the next. May be called twice. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.stdin?.end()
    const tooLong = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS)
    await exited
    clearTimeout(tooLong)
  }

  #start(): void {
    const startedMs = performance.now()
    try {
      this.#begin(startedMs)
    } catch (error) {
      // Without memory for it there is no process to tell of that.
      this.#again(startedMs, `could not be started: ${(error as Error).message}`)
    }
  }

  #begin(startedMs: number): void {
    const { url, token, localToken, workspace, data, allowedDirs, slots } = this.#options
    const more = allowedDirs.flatMap((dir) => ['--allow-dir', dir])
    if (slots !== undefined) more.push('--slots', String(slots))
    // Ctrl-C in the terminal is for the hub, which then ends its runner.
    const child = spawnGroup(
      [process.execPath, process.argv[1]!, 'runner', '--until-stdin-ends', '--workspace', workspace, ...more],
      {
        stdio: ['pipe', 'inherit', 'inherit'],
        // The key of the hub's secrets is no business of a runner.
        env: {
          ...process.env,
          ERRAND_SECRETS_KEY: undefined,
          ERRAND_HUB_URL: url,
          ERRAND_TOKEN: token,
          ERRAND_LOCAL_TOKEN: localToken,
          ERRAND_DATA: data,
        },
      },
    )
    this.#child = child
    // Without descriptors for it there is none.
    child.stdin?.on('error', () => {})
    child.on('error', (error) => {
      if (child.pid === undefined) this.#again(startedMs, `could not be started: ${error.message}`)
    })
    child.on('exit', (code, signal) => this.#again(startedMs, `ended (${signal ?? `exit code ${code}`})`))
  }

  #again(startedMs: number, what: string): void {
    if (this.#closed) return
    if (performance.now() - startedMs > WELL_MS) this.#backoff.reset()
    const waitMs = this.#backoff.next()
    this.#options.log(`The runner ${what}; it is started again in ${(waitMs / 1000).toFixed(1)} s.`)
    this.#timer = setTimeout(() => this.#start(), waitMs)
  }
}
