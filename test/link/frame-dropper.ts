import { once } from 'node:events'
import { type RawData, WebSocket } from 'ws'
import { FrameServer } from './frame-server.ts'

type Way = 'to hub' | 'to runner'
/**
 * Reports whether a frame is lost, or returns another frame to send instead. A frame of output has the type `output`.
 */
type Loses = (way: Way, frame: { type: string; report?: { type: string } }) => boolean | object

/** Sits between runner and hub and loses frames, while both ends keep their link. */
export class FrameDropper extends FrameServer {
  /** The types of the lost frames; for a frame of a report, the report's type. */
  readonly lost: string[] = []
  links = 0

  private constructor(target: () => string, loses: Loses) {
    super()
    this.sockets.on('connection', (near, request) => {
      this.links++
      const url = target().replace('http', 'ws') + request.url!
      const { authorization } = request.headers
      const far = new WebSocket(url, { headers: { authorization }, perMessageDeflate: false })
      const opened = once(far, 'open').catch(() => {})
      const pass = (way: Way, to: WebSocket) => async (data: RawData, binary: boolean) => {
        const frame = binary ? { type: 'output' } : JSON.parse(String(data))
        const fate = loses(way, frame)
        if (fate === true) return void this.lost.push(frame.report?.type ?? frame.type)
        await opened
        to.send(fate === false ? data : JSON.stringify(fate), { binary }, () => {})
      }
      near.on('message', pass('to hub', far)).on('error', () => {})
      far.on('message', pass('to runner', near)).on('error', () => {})
      near.on('close', () => far.terminate())
      far.on('close', () => near.terminate())
    })
  }

  static open(target: () => string, loses: Loses): Promise<FrameDropper> {
    return new FrameDropper(target, loses).listen()
  }
}
