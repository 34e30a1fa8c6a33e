import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import type { Manner } from './manners.ts'

export interface FrontOptions {
  /** The working service: its port on loopback, or the path of its socket. */
  behind: number | string
  /** Listens on this socket of the file system instead of a port. */
  path?: string
  /** Speaks TLS with its clients, and plain text with the service. */
  tls?: { key: string; cert: string }
  /** Matches where the answer to a request begins in what the service sends; by default, at its first byte. */
  answersFrom?: RegExp
}

const BODY = '<!doctype html><title>Sign in</title><h1>Please sign in to the network.</h1>\n'
const PAGE = `HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: ${BODY.length}\r\nconnection: close\r\n\r\n${BODY}`
const GARBAGE = Buffer.from('\x00\xff\x13\x37 no protocol at all \x80\x81\r\n\r\n', 'latin1')

/**
 * Sits in front of a working service and spoils what its clients receive, in a manner that can be changed at any time.
 */
export class Front {
  /** Counts the connections that clients have opened since the manner was set. */
  connections = 0
  readonly #options: FrontOptions
  readonly #open = new Set<Socket>()
  readonly #held: (() => void)[] = []
  #manner: Manner | 'well' = 'well'
  #server: Server | undefined
  #port = 0

  private constructor(options: FrontOptions) {
    this.#options = options
  }

  static async open(t: Pick<TestContext, 'after'>, options: FrontOptions): Promise<Front> {
    const front = new Front(options)
    await front.#listen()
    t.after(() => front.#close())
    return front
  }

  /** The address, `127.0.0.1:PORT`, which is the same in every manner. */
  get host(): string {
    return `127.0.0.1:${this.#port}`
  }

  get port(): number {
    return this.#port
  }

  /** Sets the manner from now on. Existing connections are cut, as when a service is restarted. */
  async set(manner: Manner | 'well'): Promise<void> {
    this.#manner = manner
    this.connections = 0
    this.#held.length = 0
    for (const socket of this.#open) socket.destroy()
    if (manner === 'refuses') await this.#close()
    else if (this.#server === undefined) await this.#listen()
  }

  /** Sends the late answers to every client that is still connected. */
  release(): void {
    for (const send of this.#held.splice(0)) send()
  }

  async #listen(): Promise<void> {
    const { tls, path } = this.#options
    const take = (socket: Socket) => this.#take(socket)
    // A service may answer after its client has sent everything.
    const server = tls
      ? createTlsServer({ ...tls, allowHalfOpen: true }, take)
      : createServer({ allowHalfOpen: true }, take)
    // Handles a client that rejects the certificate or speaks no TLS.
    server.on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy())
    if (path === undefined) server.listen(this.#port, '127.0.0.1')
    else server.listen(path)
    await once(server, 'listening')
    if (path === undefined) this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  async #close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    for (const socket of this.#open) socket.destroy()
    if (server === undefined) return
    server.close()
    await once(server, 'close')
    if (this.#options.path !== undefined) rmSync(this.#options.path, { force: true })
  }

  #take(client: Socket): void {
    this.connections++
    this.#hold(client)
    const manner = this.#manner
    if (manner !== 'well') client.on('end', () => client.destroy())
    if (manner === 'silent') return void client.resume()
    if (manner === 'page' || manner === 'garbage') {
      // A mail server speaks first; other services wait for a request.
      const answer = () => client.end(manner === 'page' ? PAGE : GARBAGE)
      if (this.#options.answersFrom === undefined) client.once('data', answer)
      else answer()
      return void client.resume()
    }
    this.#pass(client, manner)
  }

  #pass(client: Socket, manner: Exclude<Manner, 'page' | 'garbage' | 'silent'> | 'well'): void {
    const { behind, answersFrom } = this.#options
    const service = typeof behind === 'number' ? connect(behind, '127.0.0.1') : connect(behind)
    this.#hold(service)
    client.on('close', () => service.destroy())
    service.on('close', () => manner === 'well' && client.destroySoon())
    client.pipe(service)
    if (manner === 'well') return void service.pipe(client)
    let text = ''
    let stopped = false
    service.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1')
      if (answersFrom !== undefined && !answersFrom.test(text)) client.write(bytes)
      else if (manner === 'cut') client.destroy()
      else if (manner === 'late') this.#held.push(() => client.writable && client.write(bytes))
      else if (!stopped) {
        stopped = true
        client.write(bytes.subarray(0, Math.ceil(bytes.length / 2)))
      }
    })
  }

  #hold(socket: Socket): void {
    this.#open.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => this.#open.delete(socket))
  }
}
