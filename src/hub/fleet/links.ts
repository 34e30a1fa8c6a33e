import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import type { Log } from '../../platform/log.ts'
import type { RunnerAsks } from './asks.ts'
import type { Incoming } from './incoming.ts'
import type { Reception } from './reception.ts'
import { type LinkHandlers, type LinkTiming, RunnerLink } from './runner-link.ts'
import { type Authenticate, acceptLinks, type Opened } from './upgrade.ts'

export interface LinksOptions extends LinkTiming {
  authenticate: Authenticate
  reception: Reception
  incoming: Incoming
  asks: RunnerAsks
  /** How long a token may be good no more, by its expiry or for another hub, before its link is closed. */
  recheckMs: number
  log: Log
}

/** All connections of runners: taken from servers, counted, looked at again, and closed. */
export class Links {
  readonly #options: LinksOptions
  readonly #handlers: LinkHandlers
  readonly #links = new Map<RunnerLink, Opened['again']>()
  readonly #detach: (() => void)[] = []
  readonly #rechecks: NodeJS.Timeout
  #opened = 0
  #closed = 0
  #stopped = false

  constructor(options: LinksOptions) {
    const { reception, incoming, asks, recheckMs } = options
    this.#rechecks = setInterval(() => void this.recheck(), recheckMs).unref()
    this.#options = options
    this.#handlers = {
      hello: (link, hello) => reception.hello(link, hello),
      frame: (link, frame) => incoming.frame(link, frame),
      output: (link, frame) => incoming.output(link, frame),
      unknown: (link, kind) => {
        const name = /^[\w.-]{1,100}$/.test(kind) ? kind : '(no name)'
        const runner_id = link.hello?.runner_id
        this.#options.log(
          `Runner "${runner_id}" sends frames that this hub does not know, such as of type ${name}: they are left aside.`,
          { runner_id },
        )
      },
      closed: (link) => {
        this.#links.delete(link)
        this.#closed++
        asks.closed(link)
        if (!this.#stopped) reception.closed(link)
      },
    }
  }

  /** How many there have been. */
  get counts(): { opened: number; closed: number } {
    return { opened: this.#opened, closed: this.#closed }
  }

  attach(server: Server): void {
    const accept = (ws: WebSocket, socket: Socket, { principal, again }: Opened) => {
      if (this.#stopped) return ws.terminate()
      this.#opened++
      this.#links.set(new RunnerLink(ws, socket, principal, this.#handlers, this.#options), again)
    }
    this.#detach.push(acceptLinks(server, this.#options.authenticate, accept))
  }

  /** Closes those whose token is no longer good. */
  async recheck(): Promise<void> {
    for (const [link, again] of this.#links) {
      // A store that cannot be asked refuses nobody.
      const answer = await again().catch(() => undefined)
      if (answer && 'refused' in answer) link.refuse('unauthorized', answer.refused, true)
    }
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#rechecks)
    for (const detach of this.#detach.splice(0)) detach()
    const links = [...this.#links.keys()]
    for (const link of links) link.refuse('unavailable', 'The hub is stopping.', true)
    await Promise.all(links.map((link) => link.gone))
  }
}
