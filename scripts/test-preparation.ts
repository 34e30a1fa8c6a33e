import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Told } from './test-files.ts'
import type { Service } from './test-services.ts'

/** The commands of one service run one after the other. */
type Commands = Readonly<Partial<Record<Service, readonly (readonly string[])[]>>>

/** What makes a service ready where no test may be skipped. */
const usual: Commands = {
  agents: [['scripts/install-agents.ts']],
  docker: [['test/support/docker/ensure-docker.sh'], ['test/support/docker/make-base-images.sh']],
  // These two with what the tests leave of the processors.
  gitea: [['nice', '-n', '19', 'test/support/forge/gitea/build.sh']],
  kubernetes: [['nice', '-n', '19', 'test/support/kubernetes/build-kubernetes.sh']],
}

/** What a service costs while nobody uses it: an idle cluster takes a third of a processor. */
const releases: Readonly<Partial<Record<Service, readonly string[]>>> = {
  kubernetes: ['test/support/kubernetes/stop-kubernetes.sh', '--keep'],
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
  readonly #runs: Promise<void>[] = []

  constructor(root: string, commands = usual) {
    this.#root = root
    this.#commands = commands
  }

  /** Begins with all of them at once. */
  start(wanted: readonly Service[]): void {
    for (const service of wanted) {
      const steps = this.#commands[service]
      if (steps === undefined) continue
      this.#pending.add(service)
      const prepare = async () => {
        for (const words of steps) if (!this.#stop.signal.aborted) await this.#run(words, this.#stop.signal)
      }
      const done = this.#noted(`preparation of ${service}`, prepare).then(() => {
        this.#pending.delete(service)
        this.#changed.resolve()
        this.#changed = Promise.withResolvers()
      })
      this.#runs.push(done)
    }
  }

  /** Stops what the service costs, once no file will ask for it. */
  release(service: Service): void {
    const words = releases[service]
    if (words !== undefined) this.#runs.push(this.#noted(`release of ${service}`, () => this.#run(words)))
  }

  async #noted(title: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.failures.push({ title, text: (error as Error).message })
    }
  }

  /** Resolves the next time one of them can be used, or has failed. */
  changed(): Promise<void> {
    return this.#changed.promise
  }

  isReady(service: string): boolean {
    return !this.#pending.has(service as Service)
  }

  /** Ends what is still being prepared. May be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#runs)
  }

  async #run(words: readonly string[], stop?: AbortSignal): Promise<void> {
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
    stop?.addEventListener('abort', end)
    // What stays, like an engine, may hold the output for ever.
    const [code, signal] = await once(child, 'exit')
    stop?.removeEventListener('abort', end)
    for (const stream of [child.stdout, child.stderr]) stream.destroy()
    if (code !== 0 && stop?.aborted !== true)
      throw new Error(`"${words.join(' ')}" ended with ${signal ?? `exit code ${code}`}:\n${printed}`)
  }
}
