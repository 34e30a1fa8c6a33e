import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Told } from './test-files.ts'
import type { Service } from './test-services.ts'

/** The commands of one service run one after the other. */
type Commands = Readonly<Partial<Record<Service, readonly (readonly string[])[]>>>

/** What makes a service ready where no test may be skipped. */
const usual: Commands = {
  agents: [['scripts/install-agents.ts']],
  docker: [['test/support/docker/ensure-docker.sh'], ['test/support/docker/make-base-images.sh']],
  // With what the tests leave of the processors.
  kubernetes: [['nice', '-n', '19', 'test/support/kubernetes/build-kubernetes.sh']],
}

/** So much of what a command has printed is shown when it fails. */
const SHOWN_CHARACTERS = 4000

/** Makes services ready beside the tests that need none of them. */
export class Preparation {
  readonly #root: string
  readonly #commands: Commands
  readonly #pending = new Set<Service>()
  readonly #stop = new AbortController()
  readonly failures: Told[] = []
  #changed = Promise.withResolvers<void>()
  #ended: Promise<unknown> = Promise.resolve()

  constructor(root: string, commands = usual) {
    this.#root = root
    this.#commands = commands
  }

  /** Begins with all of them at once. */
  start(wanted: readonly Service[]): void {
    const runs = wanted.map(async (service) => {
      const steps = this.#commands[service]
      if (steps === undefined) return
      this.#pending.add(service)
      try {
        for (const words of steps) await this.#run(words)
      } catch (error) {
        this.failures.push({ title: `preparation of ${service}`, text: (error as Error).message })
      }
      this.#pending.delete(service)
      this.#changed.resolve()
      this.#changed = Promise.withResolvers()
    })
    this.#ended = Promise.all(runs)
  }

  /** Resolves the next time one of them can be used, or has failed. */
  changed(): Promise<void> {
    return this.#changed.promise
  }

  isReady(service: string): boolean {
    return !this.#pending.has(service as Service)
  }

  /** Ends what still runs. May be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#ended
  }

  async #run(words: readonly string[]): Promise<void> {
    if (this.#stop.signal.aborted) return
    const [program, ...args] = words[0]!.endsWith('.ts') ? [process.execPath, ...words] : words
    const child = spawn(program!, args, {
      cwd: this.#root,
      env: { ...process.env, ERRAND_TEST_REAL_NAMES: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, by which all that it starts can be ended.
      detached: true,
    })
    let printed = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (printed = (printed + text).slice(-SHOWN_CHARACTERS)))
    // Without a number it could not be started.
    const end = () => child.pid !== undefined && process.kill(-child.pid, 'SIGTERM')
    this.#stop.signal.addEventListener('abort', end)
    // What stays, like an engine, may hold the output for ever.
    const [code, signal] = await once(child, 'exit')
    this.#stop.signal.removeEventListener('abort', end)
    for (const stream of [child.stdout, child.stderr]) stream.destroy()
    if (code !== 0 && !this.#stop.signal.aborted)
      throw new Error(
        `"${join(...words.slice(-1))}" ended with ${signal ?? `exit code ${code}`}:\n${printed}`,
      )
  }
}
