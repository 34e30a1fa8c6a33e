import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** Stands between runner and hub, and can cut their connections, or hold all bytes back as if the cable were out. */
export class TcpProxy {
  readonly #server: Server
  readonly #pairs = new Set<[Socket, Socket]>()
  #frozen = false
  /** That came from the runners. */
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

  /** Both ends see a broken connection. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  /** Neither end sees anything any more; new connections hang too. */
  freeze(): void {
    this.#frozen = true
    for (const pair of this.#pairs) for (const socket of pair) socket.pause().unpipe()
  }

  thaw(): void {
    this.#frozen = false
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
    if (this.#frozen) near.pause()
    else near.pipe(far).pipe(near)
  }
}
