import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** The directions in which bytes are held back. */
export type Held = 'both' | 'to_hub' | 'to_runner'

/** Sits between runner and hub. It can cut their connections, or hold back all bytes as if the cable were unplugged. */
export class TcpProxy {
  readonly #server: Server
  readonly #pairs = new Set<[Socket, Socket]>()
  #held: Held | undefined
  /** Counts the bytes from the runners. */
  bytes = 0

  private constructor(server: Server) {
    this.#server = server
  }

  static async open(targetPort: () => number): Promise<TcpProxy> {
    const server = createServer()
    const proxy = new TcpProxy(server)
    server.on('connection', (near) => proxy.#join(near, targetPort()))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get connections(): number {
    return this.#pairs.size
  }

  /** Cuts the connections: both ends see a broken connection. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  /** Holds back everything in that direction without closing a connection, on new connections too. */
  freeze(held: Held = 'both'): void {
    this.#held = held
    for (const pair of this.#pairs) this.#hold(pair)
  }

  thaw(): void {
    this.#held = undefined
    for (const [near, far] of this.#pairs) near.pipe(far).pipe(near)
  }

  async close(): Promise<void> {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #join(near: Socket, port: number): void {
    const far = connect(port, '127.0.0.1')
    const pair: [Socket, Socket] = [near, far]
    this.#pairs.add(pair)
    const over = () => {
      this.#pairs.delete(pair)
      near.destroy()
      far.destroy()
    }
    for (const socket of pair) socket.setNoDelay().on('error', over).on('close', over)
    near.on('data', (chunk) => {
      this.bytes += chunk.length
    })
    near.pipe(far).pipe(near)
    this.#hold(pair)
  }

  #hold([near, far]: [Socket, Socket]): void {
    if (this.#held === 'both' || this.#held === 'to_hub') near.unpipe(far).pause()
    if (this.#held === 'both' || this.#held === 'to_runner') far.unpipe(near).pause()
  }
}
