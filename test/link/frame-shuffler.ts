import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type RawData, WebSocket, WebSocketServer } from 'ws'

/** Stands between runner and hub: doubles frames both ways, and lets the runner's overtake each other. */
export class FrameShuffler {
  readonly #server: Server
  readonly #sockets: WebSocketServer
  readonly #random: () => number
  readonly #target: () => string
  shuffled = 0

  private constructor(server: Server, target: () => string, random: () => number) {
    this.#server = server
    this.#sockets = new WebSocketServer({ server, perMessageDeflate: false })
    this.#random = random
    this.#target = target
    this.#sockets.on('connection', (near, request) =>
      this.#join(near, request.url!, request.headers.authorization!),
    )
  }

  static async open(target: () => string, random: () => number): Promise<FrameShuffler> {
    const server = createServer()
    const shuffler = new FrameShuffler(server, target, random)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return shuffler
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #join(near: WebSocket, path: string, authorization: string): void {
    const url = this.#target().replace('http', 'ws') + path
    const far = new WebSocket(url, { headers: { authorization }, perMessageDeflate: false })
    const waiting: [RawData, boolean][] = []
    let late: [RawData, boolean] | undefined
    let first = true
    const send = (data: RawData, binary: boolean) => {
      if (far.readyState === WebSocket.CONNECTING) waiting.push([data, binary])
      else far.send(data, { binary }, () => {})
    }
    near.on('message', (data, binary) => {
      if (!first && !late && this.#happens()) {
        const held: [RawData, boolean] = [data, binary]
        late = held
        setTimeout(() => {
          if (late !== held) return
          late = undefined
          send(...held)
        }, 20)
        return
      }
      first = false
      send(data, binary)
      if (this.#happens()) send(data, binary)
      if (late) send(...late)
      late = undefined
    })
    far.on('open', () => {
      for (const [data, binary] of waiting) far.send(data, { binary }, () => {})
    })
    far.on('message', (data, binary) => {
      near.send(data, { binary }, () => {})
      if (this.#happens()) near.send(data, { binary }, () => {})
    })
    near.on('error', () => {}).on('close', () => far.terminate())
    far.on('error', () => {}).on('close', () => near.terminate())
  }

  #happens(): boolean {
    const happens = this.#random() < 0.1
    if (happens) this.shuffled++
    return happens
  }
}
