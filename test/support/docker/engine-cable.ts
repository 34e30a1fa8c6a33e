import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { DockerApi } from './docker-api.ts'

const ENGINE = (process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock').replace('unix://', '')

/**
 * Says what happens to a call: its answer breaks off after its head, it waits for `release`, or gets another answer.
 */
export type Fault = 'cut_short' | 'held' | { status: number; message: string }

/** The body of a call, as far as tests change it. */
interface Order {
  HostConfig: Record<string, unknown>
}

interface Plan {
  call: RegExp
  fault: Fault
  times: number
}

/** Sits in front of the engine's socket and makes calls fail, as they do when an engine is restarted or overloaded. */
export class EngineCable {
  readonly address: string
  /** Method and path of each call. */
  readonly calls: string[] = []
  /** Counts the calls that came while the cable was pulled. */
  refused = 0
  readonly #plans: Plan[] = []
  readonly #held: (() => void)[] = []
  #change: { call: RegExp; change(order: Order): void } | undefined
  readonly #server = createServer((request, answer) => this.#take(request, answer))
  #out = false

  private constructor(address: string) {
    this.address = `unix://${address}`
  }

  static async open(t: TestContext): Promise<EngineCable> {
    const dir = mkdtempSync(join(tmpdir(), 'errand-cable-'))
    const cable = new EngineCable(join(dir, 'engine.sock'))
    cable.#server.listen(join(dir, 'engine.sock'))
    await once(cable.#server, 'listening')
    t.after(async () => {
      cable.release()
      cable.#server.closeAllConnections()
      cable.#server.close()
      await rm(dir, { recursive: true, force: true })
    })
    return cable
  }

  /** Makes the next calls that match, such as /^POST .*\/start$/, fail in the given way. */
  on(call: RegExp, fault: Fault, times = 1): void {
    this.#plans.push({ call, fault, times })
  }

  /** Changes the body of all calls that match, to imitate an engine that does not know all of it. */
  change(call: RegExp, change: (order: Order) => void): void {
    this.#change = { call, change }
  }

  count(call: RegExp): number {
    return this.calls.filter((each) => call.test(each)).length
  }

  /** Lets held calls continue, and lets no more calls fail. */
  release(): void {
    this.#plans.length = 0
    for (const go of this.#held.splice(0)) go()
  }

  /** Makes the engine unreachable: breaks every connection and accepts no new one. */
  pull(): void {
    this.#out = true
    this.#server.closeAllConnections()
  }

  plug(): void {
    this.#out = false
  }

  /** Runs a command in a container, bypassing the cable. */
  async inside(id: string, command: string[]): Promise<void> {
    await new DockerApi().getContainer(id).begin(...command)
  }

  #take(request: IncomingMessage, answer: ServerResponse): void {
    if (this.#out) {
      this.refused++
      request.socket.destroy()
      return
    }
    const call = `${request.method} ${request.url!.replace(/\?.*/, '')}`
    this.calls.push(call)
    const plan = this.#plans.find((each) => each.times > 0 && each.call.test(call))
    if (plan) plan.times--
    const fault = plan?.fault
    if (typeof fault === 'object') {
      answer.writeHead(fault.status, { 'content-type': 'application/json' })
      answer.end(JSON.stringify({ message: fault.message }))
      request.resume()
    } else if (fault === 'held') this.#held.push(() => this.#pass(request, answer, fault))
    else if (this.#change?.call.test(call)) void this.#passChanged(request, answer, this.#change.change)
    else this.#pass(request, answer, fault)
  }

  async #passChanged(request: IncomingMessage, answer: ServerResponse, change: (order: Order) => void) {
    const order = (await json(request)) as Order
    change(order)
    this.#pass(request, answer, undefined, JSON.stringify(order))
  }

  #pass(requested: IncomingMessage, answer: ServerResponse, fault: Fault | undefined, body?: string): void {
    // The caller has gone meanwhile.
    if (requested.socket.destroyed) return
    const { method, url: path } = requested
    const headers =
      body === undefined
        ? requested.headers
        : { ...requested.headers, 'content-length': Buffer.byteLength(body) }
    const on = request({ socketPath: ENGINE, method, path, headers })
    const broken = () => requested.socket.destroy()
    on.on('error', broken)
    requested.on('error', () => on.destroy())
    answer.on('close', () => on.destroy())
    on.on('response', (response) => {
      response.on('error', broken)
      answer.writeHead(response.statusCode!, response.headers)
      if (fault === 'cut_short') answer.write('', broken)
      else response.pipe(answer)
      answer.flushHeaders()
    })
    if (body === undefined) requested.pipe(on)
    else on.end(body)
  }
}
