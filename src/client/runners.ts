import type { RunnerView } from '../contract/protocol.ts'
import type { HubHttp } from './http.ts'

export class RunnersClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  list(): Promise<RunnerView[]> {
    return this.#http.json('GET', '/api/runners')
  }

  /** It takes nothing new and finishes what it has. */
  drain(id: string): Promise<void> {
    return this.#http.done('POST', `/api/runners/${encodeURIComponent(id)}/drain`, { body: {} })
  }

  /** Forgets a runner. */
  remove(id: string): Promise<void> {
    return this.#http.done('DELETE', `/api/runners/${encodeURIComponent(id)}`)
  }
}
