import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

/** A WebSocket server on loopback that sits between a runner and its hub. */
export class FrameServer {
  readonly #server = createServer()
  protected readonly sockets = new WebSocketServer({ server: this.#server, perMessageDeflate: false })

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    for (const client of this.sockets.clients) client.terminate()
    this.#server.close()
    await once(this.#server, 'close')
  }

  protected async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }
}
