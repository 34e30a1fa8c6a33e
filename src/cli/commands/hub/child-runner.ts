import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { spawnGroup } from '../../../platform/child-tree.ts'
import { Backoff } from '../../../platform/time.ts'

export interface ChildRunnerOptions {
  url: string
  token: string
  /** The hub's own token. Steps of this runner can read it in a file, so it is masked in their output. */
  localToken: string
  /** Folder of its attempts and workspaces. */
  workspace: string
  /** The hub's data folder, which is hidden from every sandbox. */
  data: string
  /** Folders that agents may work in. */
  allowedDirs: readonly string[]
  /** Steps at once; undefined: as the environment says. */
  slots?: number
  log(message: string): void
}

/** A runner that ran this long was healthy: the waits before restarts begin short again. */
const WELL_MS = 30_000
const STOP_WITHIN_MS = 10_000

/** Runs a runner beside the hub, in its own process, and restarts it when it dies. It ends when its stdin does. */
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

  /** Ends the runner. Its work keeps running, and the next runner picks it up. May be called twice. */
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
      // Without memory for the process there is none that could emit the error.
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
        // A runner must not have the key of the hub's secrets.
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
    // Without free file descriptors there is no stdin.
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
    this.#options.log(`The runner ${what}. It restarts in ${(waitMs / 1000).toFixed(1)} s.`)
    this.#timer = setTimeout(() => this.#start(), waitMs)
  }
}
