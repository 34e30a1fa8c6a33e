import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
} from 'node:fs'
import { type ClientRequest, request as requestTo } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import { spawnGroup } from '../../platform/child-tree.ts'
import { removeTree, writeFileAtomic } from '../../platform/files.ts'
import { ownProgram } from '../../platform/own-program.ts'
import { processStat } from '../../platform/proc.ts'
import { socketPath } from '../../platform/socket-path.ts'
import { closeEndpoint, type LogSince, readSince } from './endpoint-log.ts'
import { ENDPOINT_PORT, type EndpointRules, FOLDER_TAKEN, isForsaken } from './rules.ts'

export interface ProxySupervisorOptions {
  /** Folder for the state of the proxy, for this machine's attempts alone. */
  folder: string
  /** Places that no endpoint leads to, as `host` or `host:port`: the hub, and this machine's own services. */
  never?: readonly string[]
  /** Environment; the proxy gets only the variables about certificates. */
  env?: NodeJS.ProcessEnv
  /** Path of the proxy's program. */
  program?: string
  /** Called when a process restarts, or cannot. */
  log?(message: string): void
}

/** Describes the part of an endpoint that its box has. */
export interface EndpointAddress {
  /** Folder that the box has, read-only, at `/run/errand`. */
  folder: string
  /** Variables through which programs find it, once the bridge runs. */
  env: Readonly<Record<string, string>>
}

const STARTS_WITHIN_MS = 20_000
const ENDS_WITHIN_MS = 5_000
const ANSWERS_WITHIN_MS = 20_000
const MOST_LOG_BYTES = 1024 * 1024
/** Pauses in ms before restarts of a process that ends repeatedly. */
const PAUSES_MS = [0, 100, 500, 2_000, 10_000]
const STAYED_MS = 60_000
const PASSED_ON = [
  'ERRAND_MODEL_PRICES',
  'NODE_EXTRA_CA_CERTS',
  'NODE_USE_SYSTEM_CA',
  'SSL_CERT_DIR',
  'SSL_CERT_FILE',
  'TZ',
]

const PROXY_URL = `http://127.0.0.1:${ENDPOINT_PORT}`
const INSIDE = '127.0.0.1,localhost,::1'
/** Variables through which programs find the proxy; yarn since 2 knows only its own. */
export const ENDPOINT_ENV: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'].flatMap((name) => [
      [name, PROXY_URL],
      [name.toLowerCase(), PROXY_URL],
    ]),
  ),
  NO_PROXY: INSIDE,
  no_proxy: INSIDE,
  NODE_USE_ENV_PROXY: '1',
  YARN_HTTP_PROXY: PROXY_URL,
  YARN_HTTPS_PROXY: PROXY_URL,
}

/**
 * Manages the endpoints of this machine's attempts. Behind them is one proxy, which starts with the first endpoint and
 * outlives this process.
 */
export class ProxySupervisor {
  readonly #options: ProxySupervisorOptions
  #running: Promise<void> | undefined
  #watch: ClientRequest | undefined
  #startedMs = 0
  #failures = 0
  #stopped = false

  constructor(options: ProxySupervisorOptions) {
    this.#options = options
  }

  /** Ensures that the endpoints of earlier processes are open, and removes those whose attempts are gone. */
  async resume(): Promise<void> {
    await Promise.all(this.#ids().map((id) => this.#removeStray(id)))
    if (this.#rules().length > 0) await this.#run()
  }

  /**
   * Opens an endpoint with these rules, or gives an open one these. `attempt` is the folder of its attempt; soon after
   * that is gone, so is the endpoint. Throws `unavailable` if there is no proxy.
   */
  async open(
    id: string,
    rules: Omit<EndpointRules, 'version' | 'key' | 'never'>,
    attempt: string,
  ): Promise<EndpointAddress> {
    this.#stopped = false
    const folder = this.#folder(id)
    const inside = join(folder, 'in')
    // All but the last are private to this user.
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    mkdirSync(inside, { recursive: true })
    const text = JSON.stringify({ ...rules, version: 1, key: id, never: this.#options.never ?? [] })
    writeFileAtomic(join(folder, 'attempt'), attempt, { mode: 0o600, durable: false })
    writeFileAtomic(join(folder, 'rules.json'), text, { mode: 0o600, durable: false })
    await this.#run()
    await this.#ask('PUT', `/doors/${id}`).catch(async (error: Error) => {
      if (error instanceof Denied) throw unavailable(error)
      // The proxy has just ended.
      await this.#run()
      await this.#ask('PUT', `/doors/${id}`).catch((again: Error) => {
        throw unavailable(again)
      })
    })
    return { folder: inside, env: ENDPOINT_ENV }
  }

  /**
   * Returns everything that the endpoint has written from that byte of its file on. It buffers no lines, and reads no
   * file that has not grown.
   */
  logSince(id: string, offset: number): LogSince {
    return readSince(this.#folder(id), offset)
  }

  /** Closes an endpoint for good: what was used is reported, and its keys are deleted. Idempotent. */
  async close(id: string): Promise<void> {
    if (!existsSync(this.#folder(id))) return
    try {
      await this.#ask('DELETE', `/doors/${id}`)
    } catch {
      // No proxy holds it open.
      closeEndpoint(this.#folder(id))
    }
  }

  /** Closes an endpoint and deletes its log. */
  async remove(id: string): Promise<void> {
    await this.close(id)
    await removeTree(this.#folder(id))
  }

  /**
   * Detaches from the proxy, and waits for its end if neither an endpoint nor another process needs it. Idempotent;
   * endpoints may be opened after it.
   */
  async leave(): Promise<void> {
    if (this.#running === undefined) return
    await this.#running.catch(() => undefined)
    const health = await this.#ask('GET', '/health').catch(() => undefined)
    this.#stopped = true
    // The count includes this process, which watches too.
    const quit = health && this.#rules().length === 0 && this.#ask('POST', '/quit/unused')
    const answer = (await Promise.resolve(quit).catch(() => undefined)) as { ends?: boolean } | undefined
    this.stop()
    if (answer?.ends !== true) return
    await ended((health as Health).pid)
  }

  /** Ends the proxy, even with open connections. */
  async quit(): Promise<void> {
    this.stop()
    await this.#ask('POST', '/quit').catch(() => undefined)
  }

  /** Detaches from the proxy, which keeps running. Idempotent. */
  stop(): void {
    this.#stopped = true
    this.#watch?.destroy()
  }

  #folder(id: string): string {
    return join(this.#options.folder, 'doors', id)
  }

  #ids(): string[] {
    try {
      return readdirSync(join(this.#options.folder, 'doors'))
    } catch {
      return []
    }
  }

  /** Returns the ids of the endpoints that should be open. */
  #rules(): string[] {
    return this.#ids().filter((id) => existsSync(join(this.#folder(id), 'rules.json')))
  }

  async #removeStray(id: string): Promise<void> {
    try {
      if (isForsaken(this.#folder(id))) await this.remove(id)
    } catch {
      // It is just being created, or is checked another time.
    }
  }

  /** Ensures that there is a proxy, and that it is watched. */
  #run(): Promise<void> {
    this.#running ??= this.#connect().catch((error) => {
      this.#running = undefined
      throw error
    })
    return this.#running
  }

  async #connect(): Promise<void> {
    const { folder } = this.#options
    const program = this.#options.program ?? ownProgram(import.meta.dirname, 'program.ts', 'proxy.cjs')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const health = (await this.#ask('GET', '/health').catch(() => undefined)) as Health | undefined
    const goesOn =
      health !== undefined && (health.version === versionOf(program) || !(await this.#replace(health)))
    if (!goesOn) await this.#begin(program)
    this.#startedMs = performance.now()
    await this.#watchOver()
  }

  /**
   * Replaces a proxy of another version once it is idle; until then the old one serves as well. Returns whether it has
   * ended.
   */
  async #replace({ pid }: Health): Promise<boolean> {
    const answer = (await this.#ask('POST', '/quit/idle').catch(() => undefined)) as
      | { ends?: boolean }
      | undefined
    if (answer?.ends) await ended(pid)
    return answer?.ends === true
  }

  async #begin(program: string): Promise<void> {
    const log = join(this.#options.folder, 'log')
    if ((statSync(log, { throwIfNoEntry: false })?.size ?? 0) > MOST_LOG_BYTES) truncateSync(log)
    const descriptor = openSync(log, 'a', 0o600)
    const { env = process.env, folder } = this.#options
    let ended: string | undefined
    try {
      const child = spawnGroup([process.execPath, program, folder], {
        cwd: folder,
        env: {
          ...Object.fromEntries(PASSED_ON.flatMap((name) => (env[name] ? [[name, env[name]]] : []))),
          // Name look-ups use half of these threads, and one box may occupy four of them.
          UV_THREADPOOL_SIZE: '64',
        },
        stdio: ['ignore', descriptor, descriptor],
      })
      child.once('error', (error) => {
        ended = error.message
      })
      child.once('exit', (code, signal) => {
        ended = `it ended with ${signal ?? code}: ${lastLine(log)}`
      })
      child.unref()
    } finally {
      closeSync(descriptor)
    }
    const until = performance.now() + STARTS_WITHIN_MS
    for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 1.5, 50)) {
      if (await this.#ask('GET', '/health').catch(() => undefined)) return
      // Another process may have been faster, and its proxy is about to listen.
      if (performance.now() > until || (ended !== undefined && !ended.includes(`with ${FOLDER_TAKEN}:`)))
        throw unavailable(new Error(ended ?? `it does not answer; see ${log}`))
      await sleep(pauseMs)
    }
  }

  /** Watches the proxy, and restarts it when it ends, as long as this process runs. Resolves once it is watched. */
  #watchOver(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { path, close } = socketPath(join(this.#options.folder, 'control'))
      const watch = requestTo({ socketPath: path, path: '/watch', agent: false })
      this.#watch = watch
      watch.once('error', reject)
      watch.once('response', (response) => {
        watch.on('error', () => undefined)
        // From now on nothing waits for it.
        response.socket.unref()
        response.on('error', () => undefined).resume()
        // Until then somebody waits for it.
        response.socket.unref()
        resolve()
      })
      watch.once('close', () => {
        close()
        this.#running = undefined
        if (!this.#stopped) void this.#again()
      })
      watch.end()
    })
  }

  async #again(): Promise<void> {
    if (this.#rules().length === 0) return
    this.#failures = performance.now() - this.#startedMs > STAYED_MS ? 0 : this.#failures + 1
    const pauseMs = PAUSES_MS[Math.min(this.#failures, PAUSES_MS.length) - 1] ?? 0
    if (pauseMs > 0) await sleep(pauseMs, undefined, { ref: false })
    if (this.#stopped) return
    const log = this.#options.log ?? (() => undefined)
    try {
      await this.#run()
      log('The sandbox proxy had ended and was restarted.')
    } catch (error) {
      log((error as Error).message)
      if (!this.#stopped) void this.#again()
    }
  }

  #ask(method: string, path: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let place: ReturnType<typeof socketPath>
      try {
        place = socketPath(join(this.#options.folder, 'control'))
      } catch (error) {
        return reject(error as Error)
      }
      const request = requestTo({
        socketPath: place.path,
        path,
        method,
        agent: false,
        timeout: ANSWERS_WITHIN_MS,
      })
      request.once('timeout', () => request.destroy(new Error('it does not answer')))
      request.once('close', place.close)
      request.on('error', reject)
      request.once('response', (response) => {
        let text = ''
        response.setEncoding('utf8').on('error', reject)
        response.on('data', (more: string) => {
          text += more
        })
        response.on('end', () => {
          const body = JSON.parse(text) as { message?: string }
          if (response.statusCode === 200) resolve(body)
          else reject(new Denied(body.message ?? `it answered ${response.statusCode}`))
        })
      })
      request.end()
    })
  }
}

/** Describes what the proxy says about itself. */
interface Health {
  pid: number
  version: string
}

async function ended(pid: number): Promise<void> {
  const until = performance.now() + ENDS_WITHIN_MS
  for (let pauseMs = 1; processStat(pid) !== undefined && performance.now() < until; pauseMs *= 2)
    await sleep(Math.min(pauseMs, 50))
}

/** Thrown if the proxy refuses a request. */
class Denied extends Error {}

const unavailable = (cause: Error): ErrandError =>
  new ErrandError('unavailable', `The sandbox proxy cannot be used: ${cause.message}.`, {
    hint: 'See its log in the state folder (proxy/log).',
    cause,
  })

const versionOf = (file: string): string =>
  createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 16)

/** Returns the last line of its log, if there is one. */
function lastLine(file: string): string {
  try {
    const text = readFileSync(file, 'utf8').trimEnd()
    return text.slice(text.lastIndexOf('\n') + 1)
  } catch {
    return `see ${file}`
  }
}
