import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestLineReport } from './test-files.ts'
import type { Service } from './test-services.ts'

/** The commands of one service run one after the other. */
type Commands = Readonly<Partial<Record<Service, readonly (readonly string[])[]>>>

/** The commands that make a service ready for runs in which no test may be skipped. */
const usual: Commands = {
  agents: [['scripts/install-agents.ts']],
  docker: [['test/support/docker/ensure-docker.sh'], ['test/support/docker/make-base-images.sh']],
  // These two use only the processor time that the tests leave.
  gitea: [['nice', '-n', '19', 'test/support/forge/gitea/build.sh']],
  kubernetes: [['nice', '-n', '19', 'test/support/kubernetes/build-kubernetes.sh']],
}

/** The commands that stop an unused service: an idle cluster takes a third of a processor. */
const releases: Readonly<Partial<Record<Service, readonly string[]>>> = {
  kubernetes: ['test/support/kubernetes/stop-kubernetes.sh', '--keep'],
}

/** Most of a failed command's output that is shown. */
const SHOWN_CHARACTERS = 4000

/** Makes services ready while the tests that do not need them run. */
export class Preparation {
  readonly #root: string
  readonly #commands: Commands
  readonly #pending = new Set<Service>()
  readonly #stop = new AbortController()
  readonly failures: TestLineReport[] = []
  #changed = Promise.withResolvers<void>()
  readonly #runs: Promise<void>[] = []

  constructor(root: string, commands = usual) {
    this.#root = root
    this.#commands = commands
  }

  /** Starts preparing all of them at once. */
  start(services: readonly Service[]): void {
    for (const service of services) {
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

  /** Stops the service once no remaining file will ask for it. */
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

  /** Resolves the next time one of them is ready or has failed. */
  changed(): Promise<void> {
    return this.#changed.promise
  }

  isReady(service: string): boolean {
    return !this.#pending.has(service as Service)
  }

  /** Ends the preparations that still run. May be called twice. */
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
      // In its own process group, so that everything that it starts can be ended.
      detached: true,
    })
    let printed = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (printed = (printed + text).slice(-SHOWN_CHARACTERS)))
    // It has no pid if it could not be started.
    const end = () => child.pid !== undefined && process.kill(-child.pid, 'SIGTERM')
    stop?.addEventListener('abort', end)
    // A program that keeps running, such as a container engine, may hold the output open forever.
    const [code, signal] = await once(child, 'exit')
    stop?.removeEventListener('abort', end)
    for (const stream of [child.stdout, child.stderr]) stream.destroy()
    if (code !== 0 && stop?.aborted !== true)
      throw new Error(`"${words.join(' ')}" ended with ${signal ?? `exit code ${code}`}:\n${printed}`)
  }
}
