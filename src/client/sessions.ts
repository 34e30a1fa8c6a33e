import type { ShareList, ShareRunInput, UnshareRun } from '../contract/runs/shares.ts'
import type { HubHttp } from './http.ts'

/** Sessions with agents: with whom they are shared. All of it is there for every run. */
export class SessionsClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  shares(runId: string): Promise<ShareList> {
    return this.#http.json('GET /api/runs/:id/shares', { params: { id: runId } })
  }

  /** In the place of what was shared with the same user or role before. */
  share(runId: string, share: ShareRunInput): Promise<ShareList> {
    return this.#http.json('PUT /api/runs/:id/shares', { params: { id: runId }, body: share })
  }

  /** Throws `not_found` where it is not shared so. */
  unshare(runId: string, of: UnshareRun): Promise<ShareList> {
    return this.#http.json('DELETE /api/runs/:id/shares', { params: { id: runId }, query: of })
  }
}
