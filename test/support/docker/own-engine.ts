import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { DockerApi } from './docker-api.ts'

const execute = promisify(execFile)
const WITHIN_MS = 120_000

/** Returns the reason to skip a test that stops and kills its own engine, or false. */
export async function ownEngineHere(): Promise<string | false> {
  if (process.getuid?.() !== 0) return 'only root starts an engine of its own'
  const missing = await execute('sh', ['-c', 'command -v dockerd containerd unshare ip']).then(
    () => false,
    () => true,
  )
  return missing && 'an engine of its own takes dockerd, containerd, unshare and ip'
}

/** A dockerd beside the machine's own, in its own network. A test may stop, kill and restart it. */
export class OwnEngine {
  readonly docker: DockerApi
  readonly #dir: string
  readonly #arguments: readonly string[]
  #exited: Promise<unknown> = Promise.resolve()
  /** A separate process, which outlives a dockerd. */
  #containerd: ChildProcess | undefined

  private constructor(dir: string, args: readonly string[]) {
    this.#dir = dir
    this.#arguments = args
    this.docker = new DockerApi({ DOCKER_HOST: `unix://${join(dir, 'docker.sock')}` })
  }

  /** Starts an engine. It and everything it has are removed with the test. */
  static async start(t: TestContext, args: readonly string[] = []): Promise<OwnEngine> {
    const engine = new OwnEngine(mkdtempSync(join(tmpdir(), 'errand-engine-')), args)
    t.after(() => engine.#remove())
    await engine.begin()
    return engine
  }

  get address(): string {
    return `unix://${join(this.#dir, 'docker.sock')}`
  }

  /** Copies an image from the machine's engine. */
  async take(image: string): Promise<void> {
    await execute('sh', ['-c', 'docker save "$0" | docker -H "$1" load', image, this.address])
  }

  async begin(): Promise<void> {
    const path = (name: string) => join(this.#dir, name)
    const stdio = ['ignore', openSync(path('log'), 'a'), openSync(path('log'), 'a')] as const
    if (this.#containerd === undefined) {
      const config = [
        'version = 2',
        `root = "${path('containerd')}"`,
        `state = "${path('containerd-state')}"`,
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
        `[grpc]\naddress = "${path('containerd.sock')}"`,
      ]
      writeFileSync(path('containerd.toml'), config.join('\n'))
      this.#containerd = spawn('containerd', ['-c', path('containerd.toml')], {
        stdio: [...stdio],
        detached: true,
      })
    }
    const options = ['--data-root', path('data'), '--exec-root', path('run'), '--pidfile', path('docker.pid')]
    const addresses = ['-H', this.address, '--containerd', path('containerd.sock')]
    const dockerd = ['dockerd', ...options, ...addresses, ...this.#arguments]
    const inOwnNetwork = ['-n', 'sh', '-c', 'ip link set lo up; exec "$@"', 'sh', ...dockerd]
    const deadline = Date.now() + WITHIN_MS
    // dockerd is restarted when it gives up, as a service manager would do. It waits only some seconds for containerd
    // by itself.
    while (!(await this.#answers())) {
      if (Date.now() > deadline)
        throw new Error(`dockerd does not answer: ${readFileSync(path('log'), 'utf8').slice(-2000)}`)
      await rm(path('docker.pid'), { force: true })
      const child = spawn('unshare', inOwnNetwork, { stdio: [...stdio], detached: true })
      this.#exited = once(child, 'exit')
      while (child.exitCode === null && Date.now() < deadline && !(await this.#answers())) await sleep(50)
    }
  }

  /** Stops the engine, as `systemctl stop docker` does: it ends its containers. */
  async stop(): Promise<void> {
    process.kill(this.#pid, 'SIGTERM')
    await this.#exited
  }

  /** Kills the engine, as a crash does: its containers keep running. */
  async kill(): Promise<void> {
    process.kill(this.#pid, 'SIGKILL')
    await this.#exited
  }

  /** Makes the engine hang: it neither answers nor closes connections. */
  hang(): void {
    process.kill(this.#pid, 'SIGSTOP')
  }

  goOn(): void {
    process.kill(this.#pid, 'SIGCONT')
  }

  get #pid(): number {
    return Number(readFileSync(join(this.#dir, 'docker.pid'), 'utf8'))
  }

  async #answers(): Promise<boolean> {
    return await this.docker.ping().then(
      () => true,
      () => false,
    )
  }

  async #remove(): Promise<void> {
    if (existsSync(join(this.#dir, 'docker.pid'))) this.goOn()
    if (!(await this.#answers())) await this.begin()
    for (const { Id } of await this.docker.listContainers({ all: true }))
      await this.docker.getContainer(Id).remove({ force: true })
    await this.stop()
    this.#containerd?.kill('SIGKILL')
    const mounts = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[1] ?? '')
    for (const mount of mounts.filter((path) => path.startsWith(this.#dir)).reverse())
      await execute('umount', ['-l', mount]).catch(() => {})
    await rm(this.#dir, { recursive: true, force: true })
  }
}
