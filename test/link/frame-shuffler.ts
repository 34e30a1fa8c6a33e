import { type RawData, WebSocket } from 'ws'
import { FrameServer } from './frame-server.ts'

/** Sits between runner and hub. Doubles frames both ways, and lets the runner's frames overtake each other. */
export class FrameShuffler extends FrameServer {
  readonly #random: () => number
  readonly #target: () => string
  shuffled = 0

  private constructor(target: () => string, random: () => number) {
    super()
    this.#random = random
    this.#target = target
    this.sockets.on('connection', (near, request) =>
      this.#join(near, request.url!, request.headers.authorization!),
    )
  }

  static open(target: () => string, random: () => number): Promise<FrameShuffler> {
    return new FrameShuffler(target, random).listen()
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
